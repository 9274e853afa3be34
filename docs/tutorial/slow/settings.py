"""Settings, and what somebody may need of the standard library."""
import asyncio
import email.mime.multipart
import http.server
import unittest.mock
import xml.dom.minidom

NAME = "shop"
