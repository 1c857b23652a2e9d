import { errorRange } from "../http_kinds.ts";
import { count, duration, flag, list, network, path, size, sizeWithin } from "../kinds.ts";
import { rows } from "../rows.ts";

const requests = rows({ group: "HTTP requests", scope: "service", mode: "http" });

/** What only HTTP mode does with requests and answers. */
export const REQUEST_OPTIONS = {
  maxBody: requests(size, "Largest request body", { default: "10MB" }),
  maxHead: requests(sizeWithin(1024, 1024 * 1024), "Largest request head", { default: "64KiB" }),
  headTimeout: requests(duration(1), "Time a client has to send the head of a request", {
    default: "10s",
  }),
  bodyTimeout: requests(duration(1), "Time between two bytes of a request's body", {
    default: "30s",
  }),
  writeTimeout: requests(duration(1), "Time a client or upstream has to take more bytes", {
    default: "30s",
  }),
  keepAliveTimeout: requests(duration(1), "Time a client has to begin its next request", {
    default: "75s",
  }),
  upstreamKeep: requests(count(0, 10_000), "Idle connections that are kept to each upstream", {
    default: "256",
  }),
  upstreamKeepIdle: requests(duration(1), "Time such a connection is kept without a request", {
    default: "30s",
  }),
  upstreamKeepAge: requests(duration(), "Age at which it is closed; 0 is never", {
    default: "0s",
  }),
  retryOn: requests(
    list(errorRange, "CODES,…"),
    "Status codes, like 502-504, after which a safe or idempotent request goes to another upstream; by default none",
  ),
  responseTimeout: requests(
    duration(),
    "Time an upstream has to begin its answer; 0 is no limit",
    {
      default: "60s",
    },
  ),
  responseIdleTimeout: requests(
    duration(),
    "Time between two bytes of a response, unless it is an event stream; 0 is no limit",
    {
      default: "60s",
    },
  ),
  preserveHost: requests(flag, "Send the client's Host to upstreams, not their own", {
    default: "off",
  }),
  allowTrace: requests(
    flag,
    "Pass TRACE on, whose answer shows headers that were added on the way",
    {
      default: "off",
    },
  ),
  h2c: requests(
    flag,
    "Speak HTTP/2 without TLS as well, to clients that begin with it (prior knowledge)",
    { default: "off", fixed: "open connections speak what they have begun with" },
  ),
  caFile: requests(path, "Certificates of authorities to trust for upstreams (PEM)"),
  upstreamCert: requests(path, "Certificate to show to upstreams that ask for one (PEM)"),
  upstreamKey: requests(path, "Private key of that certificate (PEM)"),
  trustedProxies: requests(
    list(network, "CIDR,…"),
    "Proxies before this one: what their X-Forwarded-* and Forwarded say of a client is kept and extended, from others it is replaced; clients on a unix socket count as trusted",
  ),
  requestId: requests(
    flag,
    "Give each request an X-Request-Id, or keep a harmless one of the client, for upstream, client and access log",
    { default: "off" },
  ),
  honourIdempotencyKey: requests(
    flag,
    "Also repeat unsafe requests that carry an Idempotency-Key",
    { default: "off" },
  ),
  noFailoverHeader: requests(flag, "Leave out the response header that reports a failover", {
    default: "off",
  }),
  errorPage: requests(path, "Page to send when no upstream is left"),
};
