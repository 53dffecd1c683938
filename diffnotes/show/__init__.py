"""From records to pages: one look for all figures and tables, sliders, verdicts in words. No torch."""
