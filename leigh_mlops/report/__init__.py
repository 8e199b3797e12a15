"""Records and arrays become figures, tables and pages.

``style`` and ``figures`` draw scores, ``pictures`` and ``sheets`` show images,
``words`` and ``tables`` say what the scores mean, ``page`` writes the report.
"""

__all__: list[str] = []
