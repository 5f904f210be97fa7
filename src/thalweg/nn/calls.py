"""Calling a module: while its forward pass runs, the nodes it makes carry its path and its errors name it.

In: a module and the arguments of its `forward`. Out: the result; `thalweg.graph.scope.path` is the module's path from
the outermost module of the call, so that errors, printed programs and diagnostics can name the layer.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from thalweg.errors import ThalwegError
from thalweg.graph import scope
from thalweg.nn import hooks


class Calls(threading.local):
    """The module from which paths are counted, and what stands before them."""

    root: Any = None
    prefix: str = ""


calls = Calls()


class Structure:
    """Raised whenever a module is added to or removed from another, so that cached paths are known to be old."""

    number = 0


def call(module: Any, arguments: tuple[Any, ...], options: Mapping[str, Any]) -> Any:
    """`module.forward(...)` under the module's path."""
    before = scope.path, calls.root, calls.prefix
    scope.path = path = _enter(module)
    try:
        if module._forward_pre_hooks or module._forward_hooks or module._backward_pre_hooks or module._backward_hooks:
            return _call_with_hooks(module, arguments, options)
        return module.forward(*arguments, **options)
    except ThalwegError as error:
        _name_layer(error, module, path)
        raise
    finally:
        scope.path, calls.root, calls.prefix = before


def _call_with_hooks(module: Any, arguments: tuple[Any, ...], options: Mapping[str, Any]) -> Any:
    arguments, options = hooks.before(module, module._forward_pre_hooks, arguments, options)
    backward = None
    if module._backward_pre_hooks or module._backward_hooks:
        backward = hooks.BackwardHooks(module, module._backward_pre_hooks, module._backward_hooks)
        arguments = backward.on_arguments(arguments)
    try:
        result = module.forward(*arguments, **options)
    except BaseException:
        hooks.after_failure(module, module._forward_hooks, arguments, options)
        raise
    result = hooks.after(module, module._forward_hooks, arguments, options, result)
    return result if backward is None else backward.on_result(result)


def _enter(module: Any) -> str:
    """The module's path. One that the outermost module does not own starts paths of its own."""
    root = calls.root
    name = None if root is None else paths_of(root).get(id(module))
    if name is not None:
        return calls.prefix + name
    own = type(module).__name__
    path = f"{scope.path}.{own}" if scope.path else own
    calls.root, calls.prefix = module, "" if root is None else path + "."
    return path


def paths_of(root: Any) -> dict[int, str]:
    """The path of every module below `root`, by identity; a shared module has its first one. Cached on the root."""
    cached = root.__dict__.get("_paths")
    # A deep copy carries the identities of what it was copied from, hence the second test.
    if cached is None or cached[0] != Structure.number or cached[1] != id(root):
        paths = {id(module): path or type(root).__name__ for path, module in root.named_modules()}
        cached = (Structure.number, id(root), paths)
        root.__dict__["_paths"] = cached
    return cached[2]  # type: ignore[no-any-return]


def _name_layer(error: ThalwegError, module: Any, path: str) -> None:
    """Add the innermost module to the message, once."""
    message = str(error)
    if "\n  layer:" in message:
        return
    text = repr(module)
    shown = text if "\n" not in text else type(module).__name__
    layer = shown if path == type(module).__name__ else f"{path} ({shown})"
    error.args = (f"{message}\n  {'layer:':<9} {layer}", *error.args[1:])
