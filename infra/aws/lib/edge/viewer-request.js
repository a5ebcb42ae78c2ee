// Runs at every edge location before the cache is asked. It decides which app a path belongs to, brings what the
// cache key is made of into one form, and lets queries by GET fail over to another region.
import cf from 'cloudfront';

// Set when the stack is synthesized: [{ path, origin, fallback? }], longest path first.
var APPS = [];
// The parameters of GraphQL over HTTP; others would only split the cache.
var PARAMETERS = ['extensions', 'operationName', 'query', 'variables'];
var GRAPHQL = 'application/graphql-response+json';

function handler(event) {
  var request = event.request;
  var app = appOf(request.uri);
  if (!app) return request;
  // `/graphql/` and `/graphql` are one resource.
  if (request.uri.length > 1 && request.uri.endsWith('/')) request.uri = request.uri.slice(0, -1);
  if (app.fallback !== undefined) {
    normalise(request);
    // Only what changes nothing may be asked of two regions.
    if (request.method === 'GET' || request.method === 'HEAD') {
      cf.createRequestOriginGroup({
        originIds: [{ originId: app.origin }, { originId: app.fallback }],
        failoverCriteria: { statusCodes: [500, 502, 503, 504] },
      });
      return request;
    }
  }
  cf.selectRequestOriginById(app.origin);
  return request;
}

function appOf(uri) {
  for (var i = 0; i < APPS.length; i++) {
    var path = APPS[i].path;
    if (uri === path || uri.startsWith(path + '/')) return APPS[i];
  }
  return undefined;
}

function normalise(request) {
  var kept = {};
  for (var i = 0; i < PARAMETERS.length; i++) {
    var name = PARAMETERS[i];
    var value = request.querystring[name];
    if (value !== undefined) kept[name] = { value: value.value };
  }
  request.querystring = kept;
  var accept = request.headers.accept;
  var wanted = accept ? accept.value : '';
  // A page for people is asked for as such; all other clients get one of two media types.
  if (wanted.indexOf('text/html') < 0) {
    request.headers.accept = { value: wanted.indexOf(GRAPHQL) < 0 ? 'application/json' : GRAPHQL };
  } else {
    request.headers.accept = { value: 'text/html' };
  }
}
