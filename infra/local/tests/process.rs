//! The binary as people use it: started, stopped, killed, asked.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use rust_decimal::Decimal;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;
use tokio::sync::watch;

const INVOICES: usize = 300;
const LINES: usize = 4;

fn tributary(state: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tributary"));
    command.arg("--state").arg(state).args(["--listen", "127.0.0.1:0"]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A process that is killed, as by `kill -9`, when the test is done with it.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Serves a state; gives the process and the graph's address.
fn serve(state: &Path) -> (Killed, String) {
    let mut child = tributary(state).stderr(Stdio::null()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let process = Killed(child);
    for line in lines {
        let line = line.unwrap();
        if let Some(rest) = line.strip_prefix("The graph is at ") {
            return (process, rest.split(' ').next().unwrap().to_owned());
        }
    }
    panic!("it ended without serving");
}

fn ask(url: &str, query: &str) -> Value {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let request = reqwest::Client::new().post(url).header("content-type", "application/json");
        let answer = request.body(json!({ "query": query }).to_string()).send().await.unwrap();
        serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap()
    })
}

fn ask_for_status(url: &str) -> u16 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let request = reqwest::Client::new().post(url).header("content-type", "application/json");
        request.body(r#""List""#).send().await.unwrap().status().as_u16()
    })
}

/// Orders of one penny more for each line, some returns, an adjustment, a ledger row, a wrong date.
fn orders(folder: &Path) -> PathBuf {
    let mut csv =
        "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n".to_owned();
    for invoice in 0..INVOICES {
        let (day, hour) = (1 + invoice / 12, 8 + invoice % 12);
        for line in 0..LINES {
            let price = format!("{}.{:03}", 1 + line, invoice);
            let _ = writeln!(
                csv,
                "5{invoice:05},S{},\"THING, {line}\",2,2011-01-{day:02}T{hour:02}:00:00,{price},{},France",
                line + 1,
                100 + invoice % 7
            );
        }
    }
    csv.push_str("C600000,S1,\"THING, 0\",-1,2011-02-01T10:00:00,1.5,100,France\n");
    csv.push_str("600001,S1,damaged,-3,2011-02-01T11:00:00,0,,France\n");
    csv.push_str("A600002,B,Adjust bad debt,1,2011-02-01T12:00:00,11062.06,,France\n");
    csv.push_str("600003,S1,\"THING, 0\",1,2011-02-31T12:00:00,1.5,100,France\n");
    let path = folder.join("orders.csv");
    std::fs::write(&path, csv).unwrap();
    path
}

fn assert_totals(state: &Path) {
    let (_process, url) = serve(state);
    let answer = ask(
        &url,
        r#"{ sales { orders lines units gross { amount } creditNotes returnedUnits refunds { amount } }
             stockAdjustments { down up } product(sku: "S1") { unitsSold revenue { amount } stock { onHand reserved } } }"#,
    );
    // Each invoice sells two of each line: at 1, 2, 3 and 4 pounds, and a tenth of a penny more for each invoice.
    let mills = |base: usize| (0..INVOICES).map(|invoice| 2 * (base + invoice)).sum::<usize>();
    let pounds = |mills: usize| Decimal::new(i64::try_from(mills).unwrap(), 3);
    let gross = (1..=LINES).map(|pounds| mills(pounds * 1000)).sum::<usize>();
    let amount = |value: &Value| value["amount"].as_str().unwrap().parse::<Decimal>().unwrap();
    let data = &answer["data"];
    assert_eq!(data["sales"]["orders"], INVOICES, "{answer:#}");
    assert_eq!(data["sales"]["lines"], INVOICES * LINES, "{answer:#}");
    assert_eq!(data["sales"]["units"], 2 * INVOICES * LINES, "{answer:#}");
    assert_eq!(amount(&data["sales"]["gross"]), pounds(gross), "{answer:#}");
    assert_eq!(data["sales"]["creditNotes"], 1, "{answer:#}");
    assert_eq!(data["stockAdjustments"], json!({ "down": 1, "up": 0 }), "{answer:#}");
    assert_eq!(data["product"]["unitsSold"], 2 * INVOICES, "{answer:#}");
    assert_eq!(amount(&data["product"]["revenue"]), pounds(mills(1000)), "{answer:#}");
    assert_eq!(data["product"]["stock"], json!({ "onHand": -3, "reserved": 2 * INVOICES }), "{answer:#}");
}

#[test]
fn an_import_that_is_killed_goes_on_and_one_that_is_repeated_changes_nothing() {
    let root = tempfile::tempdir().unwrap();
    let (state, file) = (root.path().join("state"), orders(root.path()));
    for round in 0..4_u32 {
        let mut child = tributary(&state).arg("import").arg(&file).stdout(Stdio::null()).spawn().unwrap();
        let begun = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let begun = begun.take_while(|line| !line.starts_with("Importing ")).count();
        assert!(begun < 3, "it says that it begins");
        // Wherever this catches it, the totals must come out right.
        std::thread::sleep(Duration::from_millis(u64::from(60 * round)));
        drop(Killed(child));
    }
    for _ in 0..2 {
        let output = tributary(&state).arg("import").arg(&file).output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
        assert!(text(&output).contains("rows read"), "{}", text(&output));
        assert_totals(&state);
    }
    // Every event is archived, killed or not, and once compacted, once: orders, credit note, and the stock's changes.
    let archive = |words: &[&str]| {
        let output = tributary(&state).arg("archive").args(words).output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", text(&output));
        text(&output)
    };
    archive(&["compact"]);
    for (domain, events) in [("orders", INVOICES), ("returns", 1)] {
        let listed = archive(&["list", "--domain", domain]);
        let row = listed.lines().find(|line| line.starts_with(domain)).unwrap();
        assert!(row.contains(&format!(" {events} ")), "{listed}");
    }
    let replayed = archive(&["replay", "--to", "popularity.sales"]);
    assert!(replayed.contains("to popularity.sales"), "{replayed}");
    assert_totals(&state);
    let listed = text(&tributary(&state).args(["quarantine", "list"]).output().unwrap());
    assert_eq!(listed.matches("orders.commands").count(), 1, "{listed}");
    assert_eq!(listed.matches("orders.import").count(), 1, "{listed}");
    assert!(listed.contains("ledger"), "{listed}");
}

#[test]
fn disorder_on_the_bus_changes_no_total() {
    let root = tempfile::tempdir().unwrap();
    let (state, file) = (root.path().join("state"), orders(root.path()));
    let output =
        tributary(&state).args(["--chaos", "duplicate,reorder", "import"]).arg(&file).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    assert_totals(&state);
}

#[test]
fn a_second_process_on_a_folder_is_refused_but_its_tools_work() {
    let root = tempfile::tempdir().unwrap();
    let state = root.path().join("state");
    let (process, url) = serve(&state);
    let second = tributary(&state).output().unwrap();
    assert!(!second.status.success());
    assert!(text(&second).contains(&format!("process {}", process.0.id())), "{}", text(&second));
    assert!(text(&second).contains("--state"), "{}", text(&second));

    let lines = root.path().join("events.ndjson");
    let example = |name: &str| {
        let contract = contracts::published::all().into_iter().find(|it| it.name == name).unwrap();
        (contract.example)()
    };
    std::fs::write(&lines, example("ProductListed").to_string() + "\n").unwrap();
    let published = tributary(&state).arg("publish").arg(&lines).output().unwrap();
    assert!(text(&published).contains("Published 1 events"), "{}", text(&published));

    let mut unknown = example("OrderPlaced");
    unknown["major"] = 9.into();
    std::fs::write(&lines, unknown.to_string()).unwrap();
    let refused = tributary(&state).arg("publish").arg(&lines).output().unwrap();
    assert!(!refused.status.success());
    assert!(
        text(&refused).contains("line 1") && text(&refused).contains("known are 1"),
        "{}",
        text(&refused)
    );

    assert_eq!(ask_for_status(&url.replace("/graphql", "/-/tools")), 403, "tools without the token");
}

#[test]
fn the_archive_is_listed_replayed_and_erased_while_the_suite_runs() {
    let root = tempfile::tempdir().unwrap();
    let state = root.path().join("state");
    let ask = |words: &[&str]| {
        let output = tributary(&state).arg("archive").args(words).output().unwrap();
        (output.status.success(), text(&output))
    };
    let (process, url) = serve(&state);
    let sales = "{ sales { orders lines units gross { amount } } }";
    let before = super_graph(&url, sales);
    for (words, expected) in [
        (&["list"][..], "orders"),
        (&["replay", "--to", "popularity.sales", "--rate", "100000"], "to popularity.sales"),
        (&["replay", "--to", "inventory.reservations", "--resume"], "Sent "),
        (&["compact"], "hours written anew"),
        (&["erase", "--domain", "customers", "--subject", "nobody"], "0 events erased"),
    ] {
        let (success, said) = ask(words);
        assert!(success && said.contains(expected), "{words:?}: {said}");
    }
    for (words, expected) in [
        (&["replay", "--to", "popularity.clicks"][..], "popularity.sales"),
        (&["replay", "--to", "popularity.sales", "--type", "OrderShipped"], "OrderPlaced"),
        (&["replay", "--to", "popularity.sales", "--from", "June"], "2011-01-04T10:30"),
        (&["list", "--domain", "shipping"], "there are catalogue, customers"),
        (&["list", "--from", "2011-01-04", "--to", "2011-01-04"], "the end is exclusive"),
    ] {
        let (success, said) = ask(words);
        assert!(!success && said.contains(expected), "{words:?}: {said}");
    }
    assert_eq!(super_graph(&url, sales), before);
    drop(process);

    // With nothing at work the folder is opened; a damaged object is named, and fails the command.
    let object = damaged_object(&state.join("archive/events/orders"));
    let (success, said) = ask(&["replay", "--to", "popularity.sales"]);
    assert!(!success, "{said}");
    assert!(said.contains(object.file_name().unwrap().to_str().unwrap()) && said.contains("Sent "), "{said}");
}

fn super_graph(url: &str, query: &str) -> Value {
    ask(url, query)["data"].take()
}

/// Cuts the first object below a folder in half.
fn damaged_object(folder: &Path) -> PathBuf {
    let mut entries: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    let first = entries.remove(0);
    if first.is_dir() {
        return damaged_object(&first);
    }
    let bytes = std::fs::read(&first).unwrap();
    std::fs::write(&first, &bytes[..bytes.len() / 2]).unwrap();
    first
}

#[test]
fn a_busy_port_and_a_file_that_is_none_are_named() {
    let root = tempfile::tempdir().unwrap();
    let state = root.path().join("state");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut command = Command::new(env!("CARGO_BIN_EXE_tributary"));
    let output = command.arg("--state").arg(&state).args(["--listen", &address]).output().unwrap();
    assert!(!output.status.success());
    assert!(
        text(&output).contains(&format!("port {}", taken.local_addr().unwrap().port())),
        "{}",
        text(&output)
    );
    assert!(text(&output).contains("--listen"), "{}", text(&output));

    let file = root.path().join("notes.csv");
    std::fs::write(&file, "a,b\n1,2\n").unwrap();
    let output = tributary(&state).arg("import").arg(&file).output().unwrap();
    assert!(!output.status.success());
    assert!(text(&output).contains("InvoiceNo"), "{}", text(&output));
}

/// How often the process is killed under load, unless `KILLS` says otherwise.
const KILLS: u32 = 4;

/// Sends a mutation until it is acknowledged, by whichever process is there; the same command each time.
async fn acknowledged(client: &reqwest::Client, url: &watch::Receiver<String>, mutation: &str) {
    let body = json!({ "query": mutation }).to_string();
    loop {
        let url = url.borrow().clone();
        let request = client.post(url).header("content-type", "application/json").body(body.clone());
        if let Ok(answer) = request.send().await
            && let Ok(bytes) = answer.bytes().await
        {
            let answer: Value = serde_json::from_slice(&bytes).unwrap();
            assert!(answer.get("errors").is_none(), "{mutation}: {answer:#}");
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Adjusts a product's stock by one, and orders one of it, again and again; gives how often.
async fn customer(number: usize, url: watch::Receiver<String>, over: watch::Receiver<bool>) -> usize {
    let client = reqwest::Client::new();
    let mut done = 0;
    while !*over.borrow() {
        let id = format!("{number}-{done}");
        let adjust = format!(
            r#"mutation {{ adjustStock(sku: "K{number}", quantity: 1, reason: FOUND, commandId: "{id}") {{ ... on StockChanged {{ onHand }} ... on Refused {{ code }} }} }}"#
        );
        let order = format!(
            r#"mutation {{ placeOrder(input: {{ country: "France", lines: [{{ sku: "K{number}", quantity: 2 }}] }}, commandId: "{id}") {{ ... on OrderChanged {{ version }} ... on Refused {{ code message }} }} }}"#
        );
        acknowledged(&client, &url, &adjust).await;
        acknowledged(&client, &url, &order).await;
        done += 1;
    }
    done
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_under_load_it_starts_again_and_nothing_acknowledged_is_lost_or_doubled() {
    let kills = std::env::var("KILLS").map_or(KILLS, |kills| kills.parse().unwrap());
    let root = tempfile::tempdir().unwrap();
    let state = root.path().join("state");
    let start = || {
        let state = state.clone();
        tokio::task::spawn_blocking(move || serve(&state))
    };
    let (mut process, first) = start().await.unwrap();
    let (tell, url) = watch::channel(first);
    let (end, over) = watch::channel(false);
    let client = reqwest::Client::new();
    for number in 0..3 {
        for mutation in [
            format!(
                r#"mutation {{ listProduct(input: {{ sku: "K{number}", title: "Kite", category: GIFT }}) {{ __typename }} }}"#
            ),
            format!(
                r#"mutation {{ repriceProduct(sku: "K{number}", price: {{ amount: "1.5", currency: "GBP" }}) {{ __typename }} }}"#
            ),
        ] {
            acknowledged(&client, &url, &mutation).await;
        }
    }
    // Orders are taken once orders knows the products.
    let known = |answer: &Value| answer["data"]["placeOrder"]["version"].is_string();
    for number in 0..3 {
        let order = format!(
            r#"mutation {{ placeOrder(input: {{ country: "France", lines: [{{ sku: "K{number}", quantity: 2 }}] }}, commandId: "first-{number}") {{ ... on OrderChanged {{ version }} }} }}"#
        );
        loop {
            let url = url.borrow().clone();
            let request = client.post(url).header("content-type", "application/json");
            let answer = request.body(json!({ "query": order }).to_string()).send().await.unwrap();
            if known(&serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap()) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    let customers: Vec<_> =
        (0..3).map(|number| tokio::spawn(customer(number, url.clone(), over.clone()))).collect();
    // Any moments will do: what must hold doesn't depend on them.
    let mut moment = 0x2545_F491_u64;
    for _ in 0..kills {
        moment ^= moment << 13;
        moment ^= moment >> 7;
        moment ^= moment << 17;
        tokio::time::sleep(Duration::from_millis(100 + moment % 900)).await;
        drop(process);
        let (next, address) = start().await.unwrap();
        process = next;
        tell.send_replace(address);
    }
    end.send_replace(true);
    let mut counts = Vec::new();
    for customer in customers {
        counts.push(customer.await.unwrap());
    }
    drop(process);
    // The tool opens the state, finishes what is under way, and compares all of it.
    let output = {
        let state = state.clone();
        let audit = move || tributary(&state).arg("audit").output().unwrap();
        tokio::task::spawn_blocking(audit).await.unwrap()
    };
    assert!(output.status.success(), "{}", text(&output));
    let (_process, address) = start().await.unwrap();
    let (_, url) = watch::channel(address);
    for (number, count) in counts.iter().enumerate() {
        assert!(*count > 0, "customer {number} did nothing");
        let query = format!(r#"{{ product(sku: "K{number}") {{ unitsSold stock {{ onHand reserved }} }} }}"#);
        let url = url.borrow().clone();
        let request = client.post(url).header("content-type", "application/json");
        let answer = request.body(json!({ "query": query }).to_string()).send().await.unwrap();
        let answer: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
        let product = &answer["data"]["product"];
        let sold = 2 * (count + 1);
        assert_eq!(product["unitsSold"], sold, "customer {number}: {answer:#}");
        assert_eq!(
            product["stock"],
            json!({ "onHand": count, "reserved": sold }),
            "customer {number}: {answer:#}"
        );
    }
}

/// Asks a process to stop, as a service manager does; gives what it ended with.
#[cfg(unix)]
fn stopped(mut process: Killed) -> std::process::ExitStatus {
    let told = Command::new("kill").args(["-TERM", &process.0.id().to_string()]).status().unwrap();
    assert!(told.success());
    process.0.wait().unwrap()
}

#[cfg(unix)]
#[test]
fn a_cache_that_is_not_there_holds_nothing_up() {
    let root = tempfile::tempdir().unwrap();
    // Nobody listens on a port that was just given back.
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut command = tributary(root.path());
    let mut child =
        command.arg("--purge").arg(format!("http://{gone}/")).stderr(Stdio::null()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let process = Killed(child);
    assert!(lines.take_while(|line| !line.contains("Ctrl-C stops")).count() > 0, "it is filled, and serves");
    assert!(stopped(process).success());
}

#[cfg(unix)]
#[test]
fn a_stop_is_heard_while_the_sample_shop_is_filled() {
    let root = tempfile::tempdir().unwrap();
    let mut child = tributary(root.path()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    let process = Killed(child);
    assert!(lines.any(|line| line.starts_with("Filling")));
    assert!(stopped(process).success());
    assert!(lines.any(|line| line.starts_with("Finishing")), "it says why it takes a moment");
    // The next start goes on where this one stopped.
    let (_process, url) = serve(root.path());
    let answer = ask(&url, "{ sales { orders } topProducts(first: 1) { nodes: units } }");
    assert!(answer["data"]["sales"]["orders"].as_u64().unwrap() > 0, "{answer}");
}

#[cfg(unix)]
#[test]
fn what_is_asked_counts_when_a_schema_is_checked() {
    let root = tempfile::tempdir().unwrap();
    let mut child = tributary(root.path()).stderr(Stdio::null()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let process = Killed(child);
    let said: Vec<String> = lines.take_while(|line| !line.contains("Ctrl-C stops")).collect();
    let url = said.iter().find_map(|line| line.strip_prefix("The graph is at ")).unwrap();
    let url = url.split(' ').next().unwrap();
    let answer =
        ask(url, "query Shelf { products(first: 1) { nodes { titles(first: 1) { nodes { title } } } } }");
    assert!(answer["data"]["products"]["nodes"].is_array(), "{answer}");
    assert!(stopped(process).success());
    let schema = include_str!("../../../services/catalogue/schema.graphql");
    let changed = root.path().join("catalogue.graphql");
    std::fs::write(&changed, schema.replace("  titles(", "  earlierTitles(")).unwrap();
    let checked = tributary(root.path())
        .args(["schema", "check", &format!("catalogue={}", changed.display())])
        .output()
        .unwrap();
    let said = text(&checked);
    assert!(!checked.status.success() && said.contains("by Shelf") && !said.contains("no-usage"), "{said}");
}
