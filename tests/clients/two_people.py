"""Two people, one transfer, heard by both: over HTTP and with a WebSocket client that shares no code with the server.

    python two_people.py http://127.0.0.1:5001
"""

import asyncio
import json
import sys
import uuid

import websockets

from wallet import follow, frames_until, request, sign_up


def erase_somebody(url):
    """Makes and erases a person, whose words `ops/test-node` then looks for on the disk."""
    person = sign_up(url, "zebedee")
    note = {"amount": 5, "description": "a word of zebedee"}
    request(url, "POST", "/api/v1/account/deposit", note, person["token"], uuid.uuid4().hex)
    request(url, "POST", "/api/v1/account/withdraw", note, person["token"], uuid.uuid4().hex)
    status, _ = request(url, "DELETE", "/api/v1/user/me", {"password": "correct horse"}, person["token"])
    assert status == 204, status


async def main(url):
    erase_somebody(url)
    asha, ravi = sign_up(url, "asha"), sign_up(url, "ravi")
    key = uuid.uuid4().hex
    status, first = request(url, "POST", "/api/v1/account/deposit", {"amount": "100.50"}, asha["token"], key)
    assert status == 201 and first["balanceMinor"] == 10050, first
    status, again = request(url, "POST", "/api/v1/account/deposit", {"amount": "100.50"}, asha["token"], key)
    assert status == 201 and again["transaction"]["id"] == first["transaction"]["id"], again

    payer, _, _ = await follow(url, asha["token"], "phone-a")
    payee, welcome, subscribed = await follow(url, ravi["token"], "phone-b")
    assert welcome["resumed"] is False, welcome
    transfer = {"to": ravi["user"]["quickpeId"], "amount": 40.25, "description": "lunch"}
    status, sent = request(url, "POST", "/api/v1/account/transfer", transfer, asha["token"], uuid.uuid4().hex)
    assert status == 201 and sent["balanceMinor"] == 6025, sent
    identity = sent["transaction"]["id"]

    def is_it(frame):
        return frame["type"] == "message" and frame["data"].get("transaction", {}).get("id") == identity

    debit = (await frames_until(payer, is_it))[-1]
    credit = (await frames_until(payee, is_it))[-1]
    assert debit["data"]["transaction"]["type"] == "debit", debit
    assert credit["data"]["transaction"]["type"] == "credit", credit
    assert credit["data"]["transaction"]["description"] == "lunch", credit
    assert credit["data"]["balanceMinor"] == 4025, credit

    # A device that acknowledged goes on where it was, though it says no place.
    await payee.send(json.dumps({"type": "ack", "stream": "account", "upto": credit["offset"]}))
    await payee.send(json.dumps({"type": "ping", "id": "after the ack"}))
    await frames_until(payee, lambda frame: frame["type"] == "pong")
    await payee.close()
    request(url, "POST", "/api/v1/account/transfer", transfer, asha["token"], uuid.uuid4().hex)
    payee, welcome, subscribed = await follow(url, ravi["token"], "phone-b")
    assert welcome["resumed"] is True, welcome
    assert subscribed["from"] == credit["offset"], subscribed
    missed = (await frames_until(payee, lambda frame: frame["type"] == "message"))[-1]
    assert missed["offset"] == credit["offset"] + 1, missed

    # The same message again, to one who says where it stood.
    place = {"epoch": credit["epoch"], "offset": credit["offset"] - 1}
    other, _, _ = await follow(url, ravi["token"], "tablet-b", place)
    repeated = (await frames_until(other, lambda frame: frame["type"] == "message"))[-1]
    assert (repeated["id"], repeated["data"]) == (credit["id"], credit["data"]), repeated

    # Calls, and an error that says so.
    call = {"type": "call", "id": "1", "method": "account.transfer", "params": {"to": asha["user"]["id"], "amount": "1"}}
    await payee.send(json.dumps(call | {"key": uuid.uuid4().hex}))
    reply = (await frames_until(payee, lambda frame: frame.get("id") == "1"))[-1]
    assert reply["type"] == "reply" and reply["result"]["transaction"]["amountMinor"] == 100, reply
    await payee.send(json.dumps(call | {"id": "2", "params": {"to": asha["user"]["id"], "amount": "1000000"}}))
    refused = (await frames_until(payee, lambda frame: frame.get("id") == "2"))[-1]
    assert refused["type"] == "error" and refused["code"] == "insufficient_funds", refused

    # Signing out ends the connections of that login, and of no other.
    request(url, "POST", "/api/v1/auth/signout", {"refreshToken": asha["refreshToken"]}, asha["token"])
    try:
        await frames_until(payer, lambda frame: False)
    except websockets.ConnectionClosed as closed:
        assert closed.rcvd.code == 4403, closed
    await payee.send(json.dumps({"type": "ping", "id": "still here"}))
    await frames_until(payee, lambda frame: frame.get("id") == "still here")

    for socket in (payee, other):
        await socket.close()
    print("two people heard of one transfer on both sides")


asyncio.run(main(sys.argv[1].rstrip("/")))
