"""Routes of collections: listed, made, read and filled."""

from __future__ import annotations

import hashlib
import re
from typing import Any

from .routing import Request, route
from .store import DATE, Refused


@route("GET", "/api/collections")
def list_collections(request: Request) -> Any:
    owner = request.query.get("owner")
    found = [item for item in request.store.collections.values() if owner in (None, item["owner"]["name"])]
    return [
        {key: value for key, value in item.items() if key != "position"} for item in found
    ]  # the client numbers them


@route("POST", "/api/collections")
def create_collection(request: Request) -> Any:
    body = request.json()
    request.store.check_write(body["namespace"], request.token)
    key = f"{body['namespace']}/{body['title']}"
    plain = re.sub(r"[^a-z0-9]+", "-", body["title"].lower()).strip("-")
    slug = f"{body['namespace']}/{plain}-{hashlib.sha1(key.encode()).hexdigest()[:24]}"
    if slug in request.store.collections:
        raise Refused(409, "This collection already exists", slug=slug)
    request.store.collections[slug] = {
        **{"slug": slug, "title": body["title"], "description": body.get("description"), "items": []},
        **{"owner": {"name": body["namespace"]}, "lastUpdated": DATE, "position": 0, "theme": "green", "upvotes": 0},
        "private": bool(body.get("private")),
    }
    return request.store.collections[slug]


@route("GET", "/api/collections/(?P<slug>[^/]+/[^/]+)")
def get_collection(request: Request, slug: str) -> Any:
    if slug not in request.store.collections:
        raise Refused(404, "no such collection")
    return request.store.collections[slug]


@route("POST", "/api/collections/(?P<slug>[^/]+/[^/]+)/items?")
def add_item(request: Request, slug: str) -> Any:
    collection, body = get_collection(request, slug), request.json()
    request.store.check_write(slug.split("/")[0], request.token)
    item = body["item"]
    if any((old["type"], old["id"]) == (item["type"], item["id"]) for old in collection["items"]):
        raise Refused(409, "already in the collection")
    number = len(collection["items"])
    note = {"note": {"html": body["note"], "text": body["note"]}} if body.get("note") else {}
    collection["items"].append({**item, **note, "_id": f"{number:024x}", "position": number})
    return collection
