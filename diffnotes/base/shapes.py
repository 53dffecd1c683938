"""Tensor shapes in annotations: jaxtyping where it is installed, stand-ins that say nothing elsewhere (a bare
GPU node).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__all__ = ["Array", "Float", "Int", "Num", "Tensor", "UInt8"]

if TYPE_CHECKING:
    from jaxtyping import Float, Int, Num, UInt8
    from numpy import ndarray as Array
    from torch import Tensor
else:
    from numpy import ndarray as Array
    from torch import Tensor

    try:
        from jaxtyping import Float, Int, Num, UInt8
    except ImportError:

        class _Unchecked:
            def __class_getitem__(cls, item: Any) -> Any:
                return Any

        Float = Int = Num = UInt8 = _Unchecked
