"""Figures, tables and HTML pages made from records and arrays.

It draws scores and images, describes scores in words and tables, and writes the reports of jobs and searches.
"""

__all__: list[str] = []
