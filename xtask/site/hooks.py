"""What MkDocs is told besides its configuration."""

import mkdocs.plugins


@mkdocs.plugins.event_priority(-100)
def on_config(config):
    """Has a page that is opened from a folder load its helper from the site, and nothing from elsewhere."""
    config.extra["polyfills"] = ["iframe-worker.js"]
    return config
