"""A region is lost in the middle of an import: the stacks of its services and its platform are deleted, with bus, tables,
queues, functions and archive. The other one serves and accepts all along; what comes back is empty, is told where aggregates
are at home, and hears what it missed."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor

from account import (
    AWAY, FORWARDING, HOME, NAME, PATIENCE, SERVICES, Forwarding, archived, client, command, data, deploy, items, manifest,
    projections, quiet, send, step, until,
)

# The orders of the import, and the one after which the region is gone.
IMPORTED, LOST_AFTER = 40, 15
FIRST = 610_000
# Products as they stand in orders: SKU, title, price.
SOLD = [
    ("22423", "Regency cakestand, 3 tier", "12.75"),
    ("85123A", "White hanging heart T-light holder", "2.95"),
    ("84879", "Assorted colour bird ornament", "1.69"),
    ("47566", "Party bunting", "4.95"),
    ("20725", "Lunch bag, red retrospot", "1.65"),
]
COUNTRIES = ["United Kingdom", "France", "Germany", "EIRE"]
TOTALS = '{ sales { orders lines units gross { amount } } }'


def order(number):
    """An order of one to four lines, of a customer of one of some countries; the same each time."""
    lines = [
        {"position": at + 1, "kind": "product", "sku": sku, "title": title, "quantity": 1 + (number * 7 + at * 3) % 12, "unitPrice": price}
        for at, (sku, title, price) in enumerate((SOLD[number % 5:] + SOLD)[: 1 + number % 4])
    ]
    country = COUNTRIES[number % len(COUNTRIES)]
    placed = {"orderId": str(FIRST + number), "customerId": str(17_850 + number % 3), "country": country, "currency": "GBP", "lines": lines}
    return command("orders", "PlaceOrder", 1_000 + number, str(FIRST + number), placed, at=f"2011-04-{1 + number % 28:02}T10:{number % 60:02}:00Z")


class Serving(threading.Thread):
    """Reads in the region that stays, over and over, and keeps what failed."""

    def __init__(self):
        super().__init__(daemon=True)
        self.reads, self.failed, self.over = 0, [], False

    def run(self):
        while not self.over:
            try:
                data(HOME, "popularity", TOTALS)
                self.reads += 1
            except Exception as error:  # noqa: BLE001 - whatever a reader sees is what counts
                self.failed.append(repr(error))


def delete(stack, region):
    cloudformation = client("cloudformation", region)
    cloudformation.delete_stack(StackName=stack)

    def gone():
        try:
            found = cloudformation.describe_stacks(StackName=stack)["Stacks"][0]["StackStatus"]
        except cloudformation.exceptions.ClientError:
            return True
        if found == "DELETE_FAILED":
            # A function that was under way may have stored an object meanwhile.
            emptied(region)
            cloudformation.delete_stack(StackName=stack)
        return found == "DELETE_COMPLETE"

    until(f"{stack} is gone", gone)


def emptied(region):
    """The archive's objects go with the rest: what a region that is lost knows, nobody has."""
    s3 = client("s3", region)
    for bucket in s3.list_buckets()["Buckets"]:
        if bucket["Name"].startswith(f"{NAME}-archive-") and bucket["Name"].endswith(region):
            for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket["Name"]):
                for found in page.get("Contents", []):
                    s3.delete_object(Bucket=bucket["Name"], Key=found["Key"])


def lose(region):
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda service: delete(f"{NAME}-{service}-{region}", region), SERVICES))
    emptied(region)
    delete(f"{NAME}-platform-{region}", region)
    tables = client("dynamodb", region).list_tables()["TableNames"]
    left = [it for it in tables if it.startswith(tuple(f"{NAME}-{service}-" for service in SERVICES))]
    assert not left, f"{left} are left"


def take_over(gone, here):
    """The runbook's second step."""
    functions = client("lambda", here)
    for service in SERVICES:
        if not manifest(service)["decides"]:
            continue
        payload = json.dumps({"moveHomes": {"from": gone, "to": here}})
        answer = functions.invoke(FunctionName=f"{NAME}-{service}-watch", Payload=payload)
        told = json.loads(answer["Payload"].read())
        assert told == {"shards": {gone: 0, here: 64}}, (service, told)


def tell_homes(here):
    """The clock does it every five minutes; nobody waits for that here."""
    for service in SERVICES:
        client("lambda", here).invoke(FunctionName=f"{NAME}-{service}-watch", Payload=json.dumps({"source": "aws.events"}))


def homes(region):
    return [{name: it for name, it in item.items() if name != "v"} for item in items(region, "orders-homes")]


def placed(region):
    """The orders of the import that a region shows."""
    shown = json.dumps(items(region, "orders-orders-3"))
    return {str(FIRST + number) for number in range(IMPORTED + 1) if f'"{FIRST + number}"' in shown}


def a_region_is_lost_in_the_middle_of_an_import():
    orders = [order(number) for number in range(IMPORTED)]
    serving = Serving()
    serving.start()
    try:
        send(AWAY, orders[:LOST_AFTER])
        FORWARDING[AWAY].over = True
        lose(AWAY)
        take_over(AWAY, HOME)
        # Whoever did not see an order sends its command again: to the region that is there, under the same id.
        send(HOME, orders)
        wanted = {it[1] for it in orders}
        until("every order is placed where the region isn't", lambda: wanted <= placed(HOME))
        until("all messages are handled", lambda: quiet(HOME))
    finally:
        serving.over = True
        serving.join(PATIENCE)
    assert serving.reads > 3 and not serving.failed, f"{len(serving.failed)} of {serving.reads} reads failed: {serving.failed[:3]}"
    step(f"{serving.reads} reads while the region was away, none failed")
    come_back()


def come_back():
    deploy(f"{NAME}-platform-{AWAY}", AWAY)
    for service in SERVICES:
        deploy(f"{NAME}-{service}-{AWAY}", AWAY)
    FORWARDING[AWAY] = Forwarding(AWAY, HOME)
    FORWARDING[AWAY].start()
    tell_homes(HOME)
    until("it knows where aggregates are at home", lambda: homes(AWAY) == homes(HOME) != [])
    # What it missed is in the other region's archive, and is replayed to it.
    lines = until("every order is archived", lambda: complete(archived(HOME)))
    sqs = client("sqs", AWAY)
    for service in SERVICES:
        for projection in manifest(service)["projections"]:
            url = sqs.get_queue_url(QueueName=f"{NAME}-{projection['deployed']}")["QueueUrl"]
            for line in lines:
                sqs.send_message(QueueUrl=url, MessageBody=line)
    # And a command that it is given is decided where it is at home now.
    late = order(IMPORTED)
    send(AWAY, [late])

    def same():
        here, there = projections(HOME), projections(AWAY)
        for table, found in here.items():
            assert found == there[table], f"{table}: {len(found)} and {len(there[table])} items"
        return late[1] in placed(AWAY)

    until("both regions hold the same", same)


def complete(lines):
    return lines if sum(f'"{FIRST + number}"' in line for number in range(IMPORTED) for line in lines) >= IMPORTED else None
