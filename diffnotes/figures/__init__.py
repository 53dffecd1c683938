"""The figures of the book: one function per figure, record in, `BookFigure` out. Nothing here computes."""
