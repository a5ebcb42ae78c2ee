(() => {
  const settings = JSON.parse(document.getElementById("settings").textContent);
  const asked = new URLSearchParams(location.search);
  const shared = asked.get("query");
  const tabs = settings.queries.map((query) => ({ query }));
  if (shared) tabs.unshift({ query: shared, variables: asked.get("variables") || "" });
  ReactDOM.createRoot(document.getElementById("graphiql")).render(
    React.createElement(GraphiQL, {
      fetcher: GraphiQL.createFetcher({ url: location.pathname }),
      defaultTabs: tabs.length > 0 ? tabs : undefined,
      // A link with a query shows that query, not what was open here the last time.
      storage: shared ? { length: 0, getItem: () => null, setItem() {}, removeItem() {}, clear() {} } : undefined,
    }),
  );
})();
