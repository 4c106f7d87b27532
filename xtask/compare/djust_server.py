"""djust as a server of uploads: one view with one slot, which copies each finished file below a folder.

With its own limits djust takes 200 frames of an upload and 100 other messages in a second, with bursts of 400 and 20.
It drops frames of a faster client, and at the third closes its connection: a file above 25 MiB can fail at full speed.
Here the limits are raised, so that its speed is measured and not its limits.
"""

import os
import shutil
from pathlib import Path

import django
from django.conf import settings

settings.configure(
    SECRET_KEY="only for this measurement",
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "django.contrib.sessions", "channels", "djust"],
    SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies",
    CHANNEL_LAYERS={"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}},
    TEMPLATES=[{"BACKEND": "djust.template_backend.DjustTemplateBackend", "DIRS": [], "APP_DIRS": False, "OPTIONS": {}}],
    LIVEVIEW_ALLOWED_MODULES=[__name__],
    LIVEVIEW_CONFIG={"rate_limit": {"rate": 1e6, "burst": 1e6, "upload_rate": 1e6, "upload_burst": 1e6}},
)
django.setup()

from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from channels.sessions import SessionMiddlewareStack  # noqa: E402
from django.core.asgi import get_asgi_application  # noqa: E402
from django.urls import path  # noqa: E402
from djust import LiveView  # noqa: E402
from djust.decorators import event_handler  # noqa: E402
from djust.uploads import UploadMixin  # noqa: E402
from djust.websocket import LiveViewConsumer  # noqa: E402

FOLDER = Path(os.environ["FILES"])


class Upload(UploadMixin, LiveView):
    template = "<div dj-root></div>"

    def mount(self, request, **kwargs):
        self.allow_upload("any", max_entries=1, max_file_size=1 << 40)

    @event_handler()
    def save(self, **kwargs):
        for entry in self.consume_uploaded_entries("any"):
            with open(FOLDER / f"{entry.ref}-{entry.safe_client_name}", "wb") as file:
                shutil.copyfileobj(entry.file, file)


urlpatterns = []
application = ProtocolTypeRouter(
    {
        "http": get_asgi_application(),
        "websocket": SessionMiddlewareStack(URLRouter([path("ws/live/", LiveViewConsumer.as_asgi())])),
    }
)
