"""What the numbers of a report say, and the report as one page: rules, sentences, drawings. No torch.

`diffnotes.diagnose` measures; `findings` turns its arrays into sentences, and `page` into a page.
"""
