"""Devices and applications of ngx_cometa_module.

Device answers calls; Client makes them; Channel is one connection of an
application to all its devices.  All that fails raises CometaError.
"""

from .channel import Channel, Event
from .client import Client
from .device import Device
from .errors import CometaError

__all__ = ["Channel", "Client", "CometaError", "Device", "Event"]
