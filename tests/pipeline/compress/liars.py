"""Passes that do not keep what they promise."""

import types

from pipeline.compress.base import Applied, Changed, apply_pass
from pipeline.compress.context import Context
from pipeline.compress.formats import FORMATS
from pipeline.compress.settings import PassSettings


def keras_pass(the_pass, model, settings, name="liar") -> Applied:
    return apply_pass(name, the_pass, model, settings, Context(), FORMATS["keras"])


def lying(**functions):
    """A pass that does what it must not do."""
    return types.SimpleNamespace(
        Settings=PassSettings,
        requires=functions.get("requires", lambda model, settings, context: None),
        apply=functions.get("apply", lambda model, settings, context: Changed(model)),
        ensures=functions.get("ensures", lambda before, after, settings: {}),
    )


def lying_with(the_pass, change):
    """The pass with another `apply`."""

    def apply_it(model, settings, context):
        change(model)
        return Changed(model)

    liar = types.SimpleNamespace(
        Settings=the_pass.Settings, requires=lambda *_: None, apply=apply_it, ensures=the_pass.ensures
    )
    return lambda model, settings: apply_pass("liar", liar, model, settings, Context(), FORMATS["keras"])
