(() => {
  const settings = JSON.parse(document.getElementById("settings").textContent);
  const asked = new URLSearchParams(location.search);
  const shared = asked.get("query");
  const tabs = settings.queries.map((query) => ({ query }));
  if (shared) tabs.unshift({ query: shared, variables: asked.get("variables") || "" });

  const url = location.pathname;
  const whole = GraphiQL.createFetcher({ url });

  // GraphiQL parses the document: it says which operation is meant.
  const subscribes = ({ operationName }, { documentAST } = {}) =>
    (documentAST ? documentAST.definitions : []).some(
      (it) => it.operation === "subscription" && (!operationName || (it.name && it.name.value === operationName)),
    );

  // A subscription's events, as they come (GraphQL over server-sent events).
  const events = (request, { headers } = {}) => {
    const stop = new AbortController();
    const read = async function* () {
      const accept = "text/event-stream";
      const sent = { method: "POST", body: JSON.stringify(request), signal: stop.signal };
      const response = await fetch(url, { ...sent, headers: { "content-type": "application/json", accept, ...headers } });
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      for (let text = ""; ; ) {
        const { done, value } = await reader.read();
        if (done) return;
        const all = (text + value).split("\n\n");
        text = all.pop();
        for (const event of all) {
          const lines = event.split("\n");
          if (lines.includes("event: complete")) return;
          const data = lines.filter((line) => line.startsWith("data: ")).map((line) => line.slice(6));
          if (data.length > 0) yield JSON.parse(data.join("\n"));
        }
      }
    };
    const told = read();
    return {
      [Symbol.asyncIterator]() { return this; },
      next: () => told.next().catch((error) => { if (stop.signal.aborted) return { done: true }; throw error; }),
      return: () => { stop.abort(); return Promise.resolve({ done: true }); },
    };
  };

  ReactDOM.createRoot(document.getElementById("graphiql")).render(
    React.createElement(GraphiQL, {
      fetcher: (request, options) => (subscribes(request, options) ? events : whole)(request, options),
      defaultTabs: tabs.length > 0 ? tabs : undefined,
      // A link with a query shows that query, not what was open here the last time.
      storage: shared ? { length: 0, getItem: () => null, setItem() {}, removeItem() {}, clear() {} } : undefined,
    }),
  );
})();
