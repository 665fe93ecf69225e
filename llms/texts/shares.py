"""Shares as people read them."""


def show_share(share: float) -> str:
    """Return a share as a whole number of per cent, with the space that the international standard asks for.

    Example:
        >>> show_share(0.254)
        '25 %'

    References:
        ISO 80000-1, section 7.1.4: a space stands between a number and its unit, per cent included.
    """
    return f"{share:.0%}".replace("%", " %")
