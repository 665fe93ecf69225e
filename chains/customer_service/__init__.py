"""Customer service: approved answers first, grounded answers next, a person when unsure.

Here belongs what a reply is and when it is good enough. Models, stores and texts are passed in.
"""

from chains.customer_service.chain import ServiceOptions, build_customer_service_chain
from chains.customer_service.schema import Citation, OpenQuestion, ServiceReply, ServiceRequest, StepTime
from chains.customer_service.templates import Slot, TemplateBook

__all__ = [
    "Citation",
    "OpenQuestion",
    "ServiceOptions",
    "ServiceReply",
    "ServiceRequest",
    "Slot",
    "StepTime",
    "TemplateBook",
    "build_customer_service_chain",
]
