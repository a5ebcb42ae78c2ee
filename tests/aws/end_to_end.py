"""Deploys the synthesized stacks of two regions to an emulated AWS, uses them, and asserts what must hold.

Run by tests/aws/run, with the folder of `cdk synth` as its argument. graph.py has the checks of registry and gateway,
loss.py the loss of a region, account.py what all of them use.

What the emulator (MiniStack 1.5.15) lacks, why, and what covers it instead:

- EventBridge archives (AWS::Events::Archive): no such resource there. Taken out of the templates; cfn-lint and
  infra/aws/test/platform.test.ts look at it. The archive of ours is used.
- Alarms that reckon with several metrics: its CloudWatch has none. Taken out of the templates; cfn-lint and
  infra/aws/test/registry.test.ts look at them.
- CloudFront, Route 53's latency and health checks, certificates: they answer for names on the internet. The edge stack is
  not deployed; infra/aws/test/edge.test.ts runs its function and checks its template.
- Aurora: its databases are containers, which not every machine can run, and never pause. The stack of reporting is not
  deployed; infra/aws/test/database.test.ts compares it with the manifest, and tests/postgres/run runs its binary in each of
  its roles, and its projection in the sample shop, on a PostgreSQL.
- An event bus takes no events from another region. What the deployed rules select for another region goes to a queue
  beside their target, from which this script puts it on the other bus: the patterns, and so the loop guard, are as
  deployed.
- Its IAM asks for `dynamodb:TransactWriteItems`, where AWS asks for what a transaction does, and for
  `sqs:SendMessageBatch`, where AWS asks for `sqs:SendMessage`. They are added where the others are allowed.
- Its IAM takes the ARN in the path of an `Invoke` for a name, and asks for the function of that name. What the gateway may
  invoke is written so too.
- Its IAM (AUTH=true) holds functions to their roles, but doesn't know every condition key: `s3:prefix`, by which a function
  lists some domains of the archive alone, is taken out of the policies. Services among themselves are not held to the
  policies of queues. infra/aws/test/micrograph.test.ts compares every policy with the manifest.
- Function URLs and domains are names on the internet: the gateway invokes subgraphs by ARN, which its role allows as well
  as their URLs. That it signs requests to URLs is tested in services/gateway (transport/sigv4.rs); that they are refused
  unsigned, here.
- Its API Gateway lets nobody in who does not sign, where AWS lets everybody ask an API without an authorizer. The gateway
  is asked with a signature. It verifies none, but looks up whose key it is.
- Where a function is made, it ends the processes of the functions of that name in every region. Once a lost region is made
  anew, reads in the other one are counted no more: until then, none may fail (loss.py).
- The visibility timeout of a queue is three minutes as deployed. It is lowered before the message of a function that is
  killed is waited for.
"""

import json
import os
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import boto3

import graph
import loss
from account import (
    AWAY, ENDPOINT, FORWARDING, HOME, NAME, PATIENCE, REGIONS, SERVICES, Forwarding, archived, ask, client, command, data,
    deploy, items, manifest, processes, projections, quiet, said, send, step, until, up,
)

ORDERS = 6
# Orders that are placed after a region took over.
TAKEN_OVER = 4
# The number of the order that is placed after a swap.
REBUILT = ORDERS + 1 + TAKEN_OVER


def placed(number):
    """The command of an order of two cakestands."""
    order = str(600_000 + number)
    lines = [{"position": 1, "kind": "product", "sku": "22423", "title": "Regency cakestand, 3 tier", "quantity": 2, "unitPrice": "12.75"}]
    data = {"orderId": order, "customerId": "17850", "country": "United Kingdom", "currency": "GBP", "lines": lines}
    return command("orders", "PlaceOrder", number, order, data)


def shop():
    """A product with a price, its buyers, and their orders, as commands of a real shop."""
    yield command("catalogue", "ListProduct", 1, "22423", {"sku": "22423", "title": "Regency cakestand, 3 tier", "category": "gift"})
    price = {"amount": "10.95", "currency": "GBP"}
    yield command("pricing", "RepriceProduct", 1, "22423/GB", {"sku": "22423", "market": "GB", "price": price})
    yield command("customers", "RegisterCustomer", 1, "17850", {"id": "17850", "name": "A. Customer", "country": "United Kingdom"})
    for number in range(ORDERS):
        order = str(600_000 + number)
        lines = [
            {"position": 1, "kind": "product", "sku": "22423", "title": "Regency cakestand, 3 tier", "quantity": 2, "unitPrice": "12.75"},
            {"position": 2, "kind": "fee", "sku": "POST", "title": "Postage", "quantity": 1, "unitPrice": "4.50"},
        ]
        placed = {"orderId": order, "customerId": "17850", "country": "United Kingdom", "currency": "GBP", "lines": lines}
        yield command("orders", "PlaceOrder", number, order, placed)
    line = {"position": 1, "kind": "fee", "sku": "POST", "title": "Postage", "quantity": 1, "unitPrice": "4.50"}
    note = {"creditNoteId": "C600000", "customerId": "17850", "country": "United Kingdom", "currency": "GBP", "lines": [line]}
    yield command("returns", "IssueCreditNote", 1, "C600000", note)


SOLD = '{ _entities(representations: [{ __typename: "Product", sku: "22423" }]) { ... on Product { unitsSold revenue { amount } } } }'


def sold(region):
    product = data(region, "popularity", SOLD)["_entities"][0]
    return product["unitsSold"], product["revenue"]["amount"]


def expected(orders):
    return 2 * orders, f"{25.5 * orders:.2f}"


def counts(region, orders):
    def right():
        found = sold(region)
        assert found == expected(orders), f"{found}, not {expected(orders)}"
        return True

    until(f"popularity in {region} counts {orders} orders", right)


def settled():
    for region in REGIONS:
        until(f"all messages in {region} are handled", lambda region=region: quiet(region))


def orders_reach_every_projection():
    send(HOME, shop())
    for region in REGIONS:
        counts(region, ORDERS)
    settled()
    order = data(HOME, "orders", '{ order(id: "600000") { id } }')["order"]
    assert order == {"id": "600000"}, order
    note = data(AWAY, "returns", '{ creditNote(id: "C600000") { id } }')["creditNote"]
    assert note == {"id": "C600000"}, note
    title = data(AWAY, "catalogue", '{ product(sku: "22423") { title } }')["product"]
    assert title == {"title": "Regency cakestand, 3 tier"}, title


def images(region, table):
    """What an aggregate's table holds, without what is the region's own."""
    found = items(region, table)
    assert found, f"{table} is empty in {region}"
    return found


def both_regions_show_the_same():
    def same():
        here, there = projections(HOME), projections(AWAY)
        for table, found in here.items():
            assert found == there[table], f"{table} differs: {found} and {there[table]}"
        return any(here.values())

    until("both regions hold the same", same)
    # Half of the aggregates are at home in either region; what came from elsewhere goes no further.
    for region in REGIONS:
        assert set(FORWARDING[region].born) == {region}, f"{region} forwards what was born in {set(FORWARDING[region].born)}"
    for table in ("orders-order", "catalogue-product", "returns-credit-note"):
        until(f"replicas of {table} are in both", lambda table=table: images(HOME, table) == images(AWAY, table))


def a_subgraph_answers_who_signs():
    status, answer = ask(HOME, "popularity", "{ __typename }", signed=False)
    assert status == 403, (status, answer)
    status, answer = ask(HOME, "popularity", "{ __typename }")
    assert (status, answer) == (200, {"data": {"__typename": "Query"}}), (status, answer)


def poison_reaches_quarantine():
    sqs = client("sqs", HOME)
    url = sqs.get_queue_url(QueueName=f"{NAME}-pricing-offers-1")["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody='{"name": "not closed"')

    def kept():
        found = [it for it in items(HOME, "pricing-quarantine") if it.get("reason", {}).get("S") == "Malformed"]
        return found and found[0]["consumer"]["S"] == "offers"

    until("the message is in the quarantine", kept)
    until("its queue is empty", lambda: quiet(HOME))


def a_killed_functions_messages_come_again():
    sqs = client("sqs", HOME)
    url = sqs.get_queue_url(QueueName=f"{NAME}-popularity-sales-1")["QueueUrl"]
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": "10"})
    before = sold(HOME)
    stopped = list(processes("consumer.sales-1", HOME))
    assert stopped, "no process of the consumer is there to be killed"
    try:
        for process in stopped:
            os.kill(process, signal.SIGSTOP)
        send(HOME, [placed(ORDERS)])

        def in_hand():
            depth = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
            return int(depth["ApproximateNumberOfMessagesNotVisible"]) > 0

        until("the message is in the hands of a function that does nothing", in_hand)
        assert sold(HOME) == before, "somebody else had it"
    finally:
        for process in stopped:
            os.kill(process, signal.SIGKILL)
    for region in REGIONS:
        counts(region, ORDERS + 1)
    settled()


def a_function_may_do_what_it_declares_and_nothing_else():
    process = next(processes("consumer.sales-1", AWAY))
    variables = dict(it.split("=", 1) for it in Path(f"/proc/{process}/environ").read_text().split("\0") if "=" in it)
    as_function = boto3.client(
        "dynamodb",
        region_name=AWAY,
        endpoint_url=ENDPOINT,
        aws_access_key_id=variables["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=variables["AWS_SECRET_ACCESS_KEY"],
        aws_session_token=variables["AWS_SESSION_TOKEN"],
    )
    key = {"pk": {"S": "nothing"}, "sk": {"S": "-"}}
    as_function.get_item(TableName=f"{NAME}-popularity-sales-1", Key=key)
    refused = [
        lambda: as_function.get_item(TableName=f"{NAME}-orders-order", Key=key),
        lambda: as_function.put_item(TableName=f"{NAME}-catalogue-product", Item=key),
        lambda: as_function.scan(TableName=f"{NAME}-popularity-sales-1"),
        lambda: as_function.delete_table(TableName=f"{NAME}-popularity-sales-1"),
    ]
    for number, call in enumerate(refused):
        try:
            call()
        except as_function.exceptions.ClientError as error:
            assert "AccessDenied" in error.response["Error"]["Code"], error
        else:
            raise AssertionError(f"call {number} was allowed")


def a_replay_changes_nothing():
    def all_there():
        lines = archived(HOME)
        return lines if sum('"OrderPlaced"' in line for line in lines) >= REBUILT + 1 else None

    lines = until("every order is in the archive", all_there)
    before = projections(HOME)
    sqs = client("sqs", HOME)
    for service in SERVICES:
        for projection in manifest(service)["projections"]:
            url = sqs.get_queue_url(QueueName=f"{NAME}-{projection['deployed']}")["QueueUrl"]
            for line in lines:
                sqs.send_message(QueueUrl=url, MessageBody=line)
    settled()
    after = projections(HOME)
    for table, found in before.items():
        assert after[table] == found, f"a replay changed {table}"


def a_region_takes_over_what_was_at_home_in_another():
    """The runbook's second step, for orders: the other region decides all of them, and whoever is told of one hands it on."""
    functions = client("lambda", AWAY)
    payload = json.dumps({"moveHomes": {"from": HOME, "to": AWAY}})
    answer = functions.invoke(FunctionName=f"{NAME}-orders-watch", Payload=payload)
    told = json.loads(answer["Payload"].read())
    assert told == {"shards": {HOME: 0, AWAY: 64}}, told
    until("the other region has heard of it", lambda: loss.homes(HOME) == loss.homes(AWAY) != [])
    first = ORDERS + 1
    for number in range(first, first + TAKEN_OVER):
        send(HOME if number % 2 else AWAY, [placed(number)])
    for region in REGIONS:
        counts(region, first + TAKEN_OVER)
    settled()
    for number in range(first, first + TAKEN_OVER):
        order = next(it for it in items(AWAY, "orders-order") if it["pk"]["S"] == str(600_000 + number))
        assert order["region"]["S"] == AWAY, f"order {number} was decided in {order['region']['S']}"


def generations(service, ask):
    """Asks the function that rebuilds, again while it says that there is more to do."""
    functions = client("lambda", HOME)

    def answered():
        answer = functions.invoke(FunctionName=f"{NAME}-{service}-generations", Payload=json.dumps(ask))
        told = json.loads(answer["Payload"].read())
        if "FunctionError" in answer:
            raise RuntimeError(f"{ask}: {told}")
        return None if "continue" in told else told

    return until(f"{ask} is done", answered)


class Reading(threading.Thread):
    """Asks for what was sold, over and over, and keeps what it saw and what failed."""

    def __init__(self):
        super().__init__(daemon=True)
        self.seen, self.failed, self.over = [], [], False

    def run(self):
        while not self.over:
            try:
                self.seen.append(sold(HOME)[0])
            except Exception as error:  # noqa: BLE001 - whatever a reader sees is what counts
                self.failed.append(repr(error))


def a_projection_is_rebuilt_and_swapped_while_it_is_read():
    """Its candidate is deployed beside it; what it heard since is taken away, as if it had been deployed only now."""
    dynamodb, of = client("dynamodb", HOME), {"micrograph": "popularity", "projection": "sales"}
    candidate, before = "popularity-sales-1-1", sold(HOME)
    # A process that is gone remembers no version of what it wrote.
    for process in processes("consumer.sales-1-1", HOME):
        os.kill(process, signal.SIGKILL)
    for item in items(HOME, candidate):
        dynamodb.delete_item(TableName=f"{NAME}-{candidate}", Key={"pk": item["pk"], "sk": item["sk"]})
    assert items(HOME, candidate) == []
    reading = Reading()
    reading.start()
    try:
        rebuilt = generations("popularity", {"rebuild": {"of": of, "swap": True}})["rebuilt"]
        assert rebuilt["audit"]["drifted"] == 0 and rebuilt["audit"]["compared"] > 0, rebuilt
        assert rebuilt["events"] > 0, rebuilt
        assert (rebuilt["alias"]["active"], rebuilt["alias"]["previous"]) == ("1-1", "1"), rebuilt
        # Longer than a reader goes by what it knows of the alias.
        time.sleep(2)
        assert sold(HOME) == before, f"{sold(HOME)}, not {before}"
        send(HOME, [placed(REBUILT)])
        for region in REGIONS:
            counts(region, REBUILT + 1)
        settled()
        until("both generations hold the same", lambda: items(HOME, candidate) == items(HOME, "popularity-sales-1"))
        alias = generations("popularity", {"rollback": of})["alias"]
        assert (alias["active"], alias["previous"]) == ("1", "1-1"), alias
        time.sleep(2)
        counts(HOME, REBUILT + 1)
    finally:
        reading.over = True
        reading.join(PATIENCE)
    assert not reading.failed, f"{len(reading.failed)} of {len(reading.seen)} reads failed: {reading.failed[:3]}"
    assert len(reading.seen) > 10 and reading.seen == sorted(reading.seen), f"a generation that is not full was read: {reading.seen}"


def an_audit_finds_an_event_that_no_queue_remembers():
    dynamodb, of = client("dynamodb", HOME), {"micrograph": "catalogue", "projection": "products"}
    lost = items(HOME, "catalogue-products-2")[0]
    dynamodb.delete_item(TableName=f"{NAME}-catalogue-products-2", Key={"pk": lost["pk"], "sk": lost["sk"]})
    (found,) = generations("catalogue", {"audit": {"of": of, "repair": True}})["audited"]
    assert [it["drift"] for it in found["audit"]["findings"]] == ["lost"], found
    assert found["repaired"]["drifted"] == 0, found
    assert lost in items(HOME, "catalogue-products-2")


CHECKS = [
    orders_reach_every_projection,
    both_regions_show_the_same,
    a_subgraph_answers_who_signs,
    graph.the_registry_lets_in_who_signs,
    graph.what_does_not_compose_is_refused,
    graph.the_gateway_answers_across_subgraphs,
    graph.a_subgraph_that_is_added_is_served_without_a_restart,
    graph.a_gateway_that_starts_knows_persisted_queries_and_what_was_served_last,
    poison_reaches_quarantine,
    a_function_may_do_what_it_declares_and_nothing_else,
    a_killed_functions_messages_come_again,
    a_region_takes_over_what_was_at_home_in_another,
    a_projection_is_rebuilt_and_swapped_while_it_is_read,
    an_audit_finds_an_event_that_no_queue_remembers,
    a_replay_changes_nothing,
    graph.what_clients_use_is_in_the_registry,
    loss.a_region_is_lost_in_the_middle_of_an_import,
]


def main():
    began = time.monotonic()
    up()
    deployed = []
    with ThreadPoolExecutor() as pool:

        def everywhere(*names):
            list(pool.map(lambda region: [deploy(f"{NAME}-{it}-{region}", region) for it in names], REGIONS))
            deployed.extend(names)

        # The order of a first deployment: what a gateway is to serve is there before it is.
        everywhere("platform", *SERVICES, "registry")
        graph.publish_the_first()
        everywhere("gateway")
        graph.wake()
    for region in REGIONS:
        # An archivist gathers for a minute; nobody waits for that here.
        functions = client("lambda", region)
        for mapping in functions.list_event_source_mappings(FunctionName=f"{NAME}-archive-archivist")["EventSourceMappings"]:
            functions.update_event_source_mapping(UUID=mapping["UUID"], MaximumBatchingWindowInSeconds=1)
    for here, there in ((HOME, AWAY), (AWAY, HOME)):
        FORWARDING[here] = Forwarding(here, there)
        FORWARDING[here].start()
    step(f"{len(REGIONS) * len(deployed)} stacks are deployed ({time.monotonic() - began:.0f} s)")
    failed = 0
    for check in CHECKS:
        name, at = check.__name__.replace("_", " "), time.monotonic()
        try:
            check()
            step(f"ok      {name} ({time.monotonic() - at:.0f} s)")
        except Exception as error:  # noqa: BLE001 - every check is tried, and each failure told
            failed += 1
            step(f"FAILED  {name}: {type(error).__name__}: {error}")
            if check.__module__ == "graph":
                print(f"The gateway said last:\n{said(HOME, 'gateway')}", file=sys.stderr)
    print(f"{len(CHECKS) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
