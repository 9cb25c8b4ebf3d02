"""What packages are made from, told to others: a bill of materials of all that a closure holds or was built with.

`list_materials` reads derivations and what is in the store; `cyclonedx_document` writes the list as CycloneDX, with a library
that is imported only then.
"""

from deployer.materials.document import cyclonedx_document
from deployer.materials.listing import list_materials

__all__ = ["cyclonedx_document", "list_materials"]
