"""HOST: decides. Seven stages, in this order (flow.py):

    load      file -> Model and data
    compress  Model -> smaller Model
    convert   Model -> deployable files
    deploy    files -> files on the board
    measure   files on the board -> Measurements
    compare   Measurements x baseline -> Verdicts
    report    all of it -> something to read

Every record that crosses a border between them is in records/; every number becomes text in units.py.
"""
