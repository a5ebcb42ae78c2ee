# What Varnish needs to stand in front of the graph: it keeps what it may, drops by tag what it is told to, and takes
# such orders from this machine alone. The script puts in the graph's port.
vcl 4.1;

backend graph {
    .host = "127.0.0.1";
    .port = "GRAPH_PORT";
}

acl purgers {
    "127.0.0.1";
}

sub vcl_recv {
    if (req.method == "PURGE") {
        if (client.ip !~ purgers) {
            return (synth(403));
        }
        # The tags of a purge, each between commas as in what is kept, become one expression.
        set req.http.x-tags = regsuball(req.http.cache-tag, ",", "|");
        set req.http.x-tags = regsuball(req.http.x-tags, "\.", "\\.");
        ban("obj.http.x-tags ~ ,(" + req.http.x-tags + "),");
        return (synth(200));
    }
    if (req.method != "GET" && req.method != "HEAD") {
        return (pass);
    }
    # Who brings a token wants what is newer than anything that is kept; who is known gets an answer of their own.
    if (req.http.x-consistency-token || req.http.authorization) {
        return (pass);
    }
    return (hash);
}

sub vcl_backend_response {
    if (beresp.http.cache-tag) {
        set beresp.http.x-tags = "," + beresp.http.cache-tag + ",";
    }
    # A purged answer is fetched, not served once more.
    set beresp.grace = 0s;
}

sub vcl_deliver {
    unset resp.http.x-tags;
    if (obj.hits > 0) {
        set resp.http.x-cache = "hit";
    } else {
        set resp.http.x-cache = "miss";
    }
}
