"""What an application does with a node: HTTP, and a WebSocket with a library that shares no code with the server."""

import asyncio
import json
import urllib.request
import uuid

import websockets


def request(url, method, path, body=None, token=None, key=None):
    headers = {"Content-Type": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    if key:
        headers["Idempotency-Key"] = key
    data = None if body is None else json.dumps(body).encode()
    call = urllib.request.Request(url + path, data=data, method=method, headers=headers)
    with urllib.request.urlopen(call, timeout=10) as answer:
        text = answer.read()
        return answer.status, json.loads(text) if text else None


def sign_up(url, name):
    email = f"{name}-{uuid.uuid4().hex[:8]}@example.org"
    body = {"firstName": name.title(), "lastName": "Rao", "email": email, "password": "correct horse"}
    status, signed = request(url, "POST", "/api/v1/auth/signup", body)
    assert status == 201, status
    return signed


async def frames_until(socket, wanted):
    """Frames up to and with the first for which `wanted` holds. What arrives is acknowledged as received."""
    seen = []
    while True:
        text = await asyncio.wait_for(socket.recv(), 10)
        frames = json.loads(text)
        for frame in frames if isinstance(frames, list) else [frames]:
            seen.append(frame)
            if frame["type"] == "message":
                ack = {"type": "ack", "stream": frame["stream"], "upto": frame["offset"], "stage": "received"}
                await socket.send(json.dumps(ack))
            if wanted(frame):
                return seen


async def follow(url, token, device, after=None):
    socket = await websockets.connect(url.replace("http", "ws") + "/ws", subprotocols=["quickpe.v1"])
    assert socket.subprotocol == "quickpe.v1"
    subscription = {"stream": "account"} | ({"after": after} if after else {})
    await socket.send(json.dumps({"type": "hello", "token": token, "device": device, "subscribe": [subscription]}))
    seen = await frames_until(socket, lambda frame: frame["type"] == "subscribed")
    assert seen[0]["type"] == "welcome", seen
    return socket, seen[0], seen[-1]
