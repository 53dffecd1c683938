"""What the measurements of the book can resolve: it makes no records, and reads those of the other rooms."""

EXPERIMENTS: dict[str, str] = {}
