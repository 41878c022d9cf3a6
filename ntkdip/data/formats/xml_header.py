"""XML headers, as far as they are needed, and without what makes XML dangerous."""

from __future__ import annotations

import re

from ntkdip.data.formats.request import Request

DECLARATION = re.compile(r"^\s*<\?xml[^>]*\?>")


def harmless(request: Request, field: str, document: str) -> str:
    """The document without its declaration; refused if it declares a document type.

    Entities, which can grow without bound or name other files, are declared nowhere else.
    The declaration goes because it could name an encoding in which the check sees nothing.
    """
    document = DECLARATION.sub("", document)
    if "<!DOCTYPE" in document or "<!ENTITY" in document:
        raise request.error(
            field, "the header declares a document type, which ISMRMRD headers never do"
        )
    return document


def recon_matrix(request: Request, field: str, document: str) -> tuple[int, int] | None:
    """``matrixSize`` (x, y) of the first encoding's ``reconSpace``; None if there is none.

    Raises `DataError` for what is no XML, or for sizes that are no positive numbers.
    """
    from xml.etree import ElementTree

    with request.parsing(field, "the XML parser"):
        root = ElementTree.fromstring(harmless(request, field, document))
    place = root.find("{*}encoding/{*}reconSpace/{*}matrixSize")
    if place is None:
        return None
    sides = [place.findtext(f"{{*}}{axis}", "").strip() for axis in "xy"]
    if not all(re.fullmatch("[0-9]{1,9}", side) and int(side) for side in sides):
        raise request.error(
            f"{field}: reconSpace", f"a matrix has positive sides; this has x, y = {sides}"
        )
    return int(sides[0]), int(sides[1])
