"""What Schemathesis is told about QuickPe: who calls, and which refusals no schema can foresee.

Loaded by `ops/test-node` with SCHEMATHESIS_HOOKS=fuzzing. NODE_URL is the node, NODE_ADMIN the command line that goes
before `grant EMAIL ROLE`.
"""

import json
import os
import shlex
import subprocess
import sys
import urllib.request
import uuid

import schemathesis

URL = os.environ["NODE_URL"]
PASSWORD = "correct horse"

# What may be wrong with a request that its schema allows, by the problem's code, and why no schema says so.
BEYOND_SCHEMA = {
    "cursor_invalid",  # opaque: only this list's own are good
    "page_with_filter",  # one parameter excludes others
    "bad_credentials",
    "token_invalid",
}
# The same, by what is wrong with a field.
FIELD_BEYOND_SCHEMA = {
    "conflicting",  # one field excludes another
    "required",  # one field needs another
    "too_precise",  # the decimals are those of the store's currency
    "too_large",  # exponents reach further than money
    "not_positive",  # "0.00" and "0e5" are written as amounts are
    "too_short",  # blanks do not count
}


def post(path, body, token=None):
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    call = urllib.request.Request(f"{URL}/api/v1{path}", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(call, timeout=10) as answer:
        return json.loads(answer.read())


def sign_up(name):
    email = f"{name}-{uuid.uuid4().hex[:8]}@example.org"
    body = {"firstName": name.title(), "lastName": "Rao", "email": email, "password": PASSWORD}
    return post("/auth/signup", body)


def sign_in(person):
    return post("/auth/signin", {"email": person["user"]["email"], "password": PASSWORD})


caller, payee, subject, leaver, admin = map(sign_up, ["asha", "ravi", "meera", "tara", "dev"])
for person in (caller, payee):
    post("/account/deposit", {"amount": 1_000_000}, person["token"])
# What the caller may capture and refund.
to_caller = {"to": caller["user"]["quickpeId"], "amount": 50}
holds = [post("/account/holds", to_caller, payee["token"])["hold"]["id"] for _ in range(8)]
transfers = [post("/account/transfer", to_caller, payee["token"])["transaction"]["id"] for _ in range(8)]
grant = [*shlex.split(os.environ["NODE_ADMIN"]), "grant", admin["user"]["email"], "admin"]
subprocess.run(grant, check=True, stdout=sys.stderr)
admin = sign_in(admin)


@schemathesis.auth(refresh_interval=None)
class Token:
    """The caller's token; an administrator's where one is needed; for signing out one of its own each time."""

    def get(self, case, context):
        path = context.operation.path
        if path == "/api/v1/auth/signout":
            return sign_in(leaver)["token"]
        return (admin if path.startswith("/api/v1/admin/") else caller)["token"]

    def set(self, case, token, context):
        case.headers = {**(case.headers or {}), "Authorization": f"Bearer {token}"}


@schemathesis.hook
def map_case(context, case):
    """Has some of what is generated be about what there is: nobody guesses a handle, an id, or two decimals."""
    body = case.body
    if isinstance(body, dict):
        changed = dict(body)
        to, amount = body.get("to"), body.get("amount")
        if isinstance(to, str) and len(to) % 2 == 0 and len(to) < 255:
            changed["to"] = payee["user"]["quickpeId"]
        if isinstance(amount, float) and 0 < amount and len(repr(amount)) % 2 == 0:
            changed["amount"] = round(amount % 1000, 2) or 1
        if changed != body:
            case.body = changed
    number = uuid_number((case.path_parameters or {}).get("id"))
    if number is not None and number % 2 == 0:
        known = holds if "/holds/" in context.operation.path else transfers
        case.path_parameters["id"] = known[number // 2 % len(known)]
    return case


def uuid_number(text):
    try:
        return uuid.UUID(text).int
    except (AttributeError, TypeError, ValueError):
        return None


@schemathesis.hook
def before_call(context, case, kwargs):
    """Has the administrator freeze somebody else: a caller who is frozen finds nothing more."""
    if (case.path_parameters or {}).get("userId") in [person["user"]["id"] for person in (caller, payee)]:
        case.path_parameters["userId"] = subject["user"]["id"]


@schemathesis.hook
def filter_failure(context, failure, case, response):
    """Drops what is no fault: a request that the schema allows and a rule refuses."""
    if failure.code != "ST202":
        return True
    if response.status_code == 422:
        return False
    problem = response.json()
    fields = problem.get("errors", [])
    beyond = problem["code"] in BEYOND_SCHEMA or any(field["code"] in FIELD_BEYOND_SCHEMA for field in fields)
    named = {field["field"] for field in fields}
    # A date-time may be of any year; times before 1970 are none here.
    beyond = beyond or bool(named) and named <= {"from", "to"}
    # JSON Schema takes 7.0 for an integer; the server does not.
    return not (beyond or has_whole_float(case.body, named))


def has_whole_float(body, fields):
    values = [body.get(field) for field in fields] if isinstance(body, dict) else []
    return any(isinstance(value, float) and value.is_integer() for value in values)
