"""The registry and the gateway as deployed: what must hold of them.

Schemas are published to the registry of each region, through its API, between the stacks of the registry and the
gateway: the order of a first deployment. All but popularity's, which is added while the gateway runs.
"""

import hashlib
import os
import signal
from pathlib import Path

from account import ACCOUNT, AWAY, HOME, NAME, REGIONS, SERVICES, client, http, parameter, processes, until

SCHEMAS = Path(__file__).parent.parent.parent / "services"
LATE = "popularity"


def registry(region, path, body=None, signed=True):
    return http(region, parameter(region, "registry/url"), path, body, "execute-api", signed)


def publish(region, services):
    """Publishes schemas, each with its function as the address."""
    subgraphs = [
        {
            "name": service,
            "sdl": (SCHEMAS / service / "schema.graphql").read_text(),
            "url": f"arn:aws:lambda:{region}:{ACCOUNT}:function:{NAME}-{service}-subgraph",
        }
        for service in services
    ]
    body = {"subgraphs": subgraphs, "message": "As deployed"}
    status, answer = registry(region, "/v1/variants/production/publish", body)
    assert status == 201, (status, answer)
    return answer


def publish_the_first():
    for region in REGIONS:
        publish(region, [it for it in SERVICES if it != LATE])


def send(region, body):
    """Asks the gateway. Signed, since the emulator lets nobody in who isn't."""
    headers = {"x-correlation-id": "end-to-end", "graphql-client-name": "end-to-end"}
    return http(region, parameter(region, "gateway/url"), "/graphql", body, "execute-api", headers=headers)


def data(region, query):
    status, answer = send(region, {"query": query})
    assert status == 200 and "errors" not in answer, (status, answer)
    return answer["data"]


def wake():
    """A gateway's first minute of usage begins with its first request: the sooner, the less is waited for its end."""
    status, answer = send(AWAY, {"query": "{ __typename }"})
    assert (status, answer) == (200, {"data": {"__typename": "Query"}}), (status, answer)


ORDER = """{ order(id: "600000") {
    total { amount }
    customer { name }
    lines { sku product { title price { amount } stock { reserved } } }
} }"""

# Of five subgraphs: the order, its customer, and of its product title, price and stock.
ANSWER = {
    "total": {"amount": "30.00"},
    "customer": {"name": "A. Customer"},
    "lines": [
        {"sku": "22423", "product": {"title": "Regency cakestand, 3 tier", "price": {"amount": "10.95"}, "stock": {"reserved": 12}}},
        {"sku": "POST", "product": None},
    ],
}

SOLD = '{ order(id: "600000") { lines { product { title unitsSold } } } }'


def the_registry_lets_in_who_signs():
    for region in REGIONS:
        status, answer = registry(region, "/v1/variants", signed=False)
        assert status == 403, (status, answer)
        status, answer = registry(region, "/v1/variants")
        names = [it["variant"] for it in answer]
        assert (status, names) == (200, ["production"]), (status, answer)


def what_does_not_compose_is_refused():
    wrong = {"name": "wrong", "sdl": 'type Query { "No." order(id: ID!): Int }', "url": ""}
    status, answer = registry(HOME, "/v1/variants/production/publish", {"subgraphs": [wrong], "message": ""})
    assert (status, answer["code"]) == (422, "refused"), (status, answer)


def the_gateway_answers_across_subgraphs():
    for region in REGIONS:
        assert data(region, ORDER)["order"] == ANSWER, data(region, ORDER)


def a_subgraph_that_is_added_is_served_without_a_restart():
    for region in REGIONS:
        status, answer = send(region, {"query": SOLD})
        assert "unitsSold" in str(answer["errors"]) and "data" not in answer, (status, answer)
        before = set(processes("gateway", region))
        publish(region, [LATE])

        def served(region=region):
            lines = data(region, SOLD)["order"]["lines"]
            return [it["product"] and it["product"]["unitsSold"] for it in lines]

        sold = until(f"the gateway in {region} serves {LATE}", served)
        assert sold == [12, None], sold
        assert before and set(processes("gateway", region)) == before, "another process answered"


def persisted(query, text=True):
    extensions = {"persistedQuery": {"version": 1, "sha256Hash": hashlib.sha256(query.encode()).hexdigest()}}
    return {"extensions": extensions, **({"query": query} if text else {})}


def restarted(region):
    """Ends the gateway's processes."""
    stopped = list(processes("gateway", region))
    assert stopped, "no process of the gateway is there to be ended"
    for process in stopped:
        os.kill(process, signal.SIGKILL)


def a_gateway_that_starts_knows_persisted_queries_and_what_was_served_last():
    status, answer = send(HOME, persisted(ORDER, text=False))
    assert answer["errors"][0]["extensions"]["code"] == "PERSISTED_QUERY_NOT_FOUND", (status, answer)
    status, answer = send(HOME, persisted(ORDER))
    assert answer["data"]["order"] == ANSWER, (status, answer)
    # Another process knows it from the table alone. What it is to serve, the registry's store doesn't tell it.
    s3, bucket, key = client("s3", HOME), parameter(HOME, "registry/bucket"), "variants/production/pointer.json"
    pointer = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    s3.delete_object(Bucket=bucket, Key=key)
    try:
        restarted(HOME)

        def known():
            status, answer = send(HOME, persisted(ORDER, text=False))
            assert status == 200, (status, answer)
            return answer

        answer = until("another process answers", known)
    finally:
        s3.put_object(Bucket=bucket, Key=key, Body=pointer)
    assert answer["data"]["order"] == ANSWER, answer


def what_clients_use_is_in_the_registry():
    """A minute's uses are written with the first request after it, by the gateway that ran all the time."""
    s3, bucket = client("s3", AWAY), parameter(AWAY, "registry/bucket")

    def recorded():
        data(AWAY, ORDER)
        found = s3.list_objects_v2(Bucket=bucket, Prefix="usage/production/").get("Contents", [])
        text = "".join(s3.get_object(Bucket=bucket, Key=it["Key"])["Body"].read().decode() for it in found)
        return "stock" in text and "end-to-end" in text

    until("usage is recorded", recorded)
    # What breaks a client is refused with its name.
    sdl = (SCHEMAS / "inventory" / "schema.graphql").read_text().replace("  stock: Stock!", "  shelf: Stock!")
    body = {"subgraphs": [{"name": "inventory", "sdl": sdl, "url": ""}], "message": ""}
    status, answer = registry(AWAY, "/v1/variants/production/publish", body)
    assert (status, answer["code"]) == (422, "refused") and "end-to-end" in str(answer["report"]), (status, answer)
