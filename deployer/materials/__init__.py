"""What packages are made from, told to others: a bill of materials of all that a closure holds or was built with.

`list_materials` reads derivations and what is in the store; `cyclonedx_document` and `spdx_document` write the list in formats
that others read, each with a library that is imported only then.
"""

from deployer.materials.document import cyclonedx_document
from deployer.materials.listing import list_materials
from deployer.materials.spdx_document import spdx_document

__all__ = ["cyclonedx_document", "list_materials", "spdx_document"]
