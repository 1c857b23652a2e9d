import { choice, count, duration } from "../kinds.ts";
import { rows } from "../rows.ts";

const clients = rows({ group: "Clients and sessions", scope: "service", mode: "both" });

/** Clients that wait, sessions that end, and limits of both. */
export const CLIENT_OPTIONS = {
  hold: clients(duration(), "Longest wait of a new client for an upstream; 0 turns it away", {
    default: "10s",
  }),
  holdWhile: clients(
    choice("promoting", "down"),
    "Hold clients while switching, or also while all upstreams are down",
    { default: { tcp: "promoting", http: "down" } },
  ),
  holdClients: clients(count(0), "Clients that may wait at one time; 0 lets nobody wait", {
    default: "1000",
  }),
  sessionsOnDown: clients(choice("cut", "keep"), "Sessions of an upstream that went down", {
    default: "cut",
  }),
  sessionsOnMove: clients(
    choice("cut", "drain", "keep"),
    "Sessions of an upstream that is up when traffic moves back: cut before the switch's programs run, drained after it, or kept; default cut in TCP mode with such a program or a check program, else drain",
  ),
  grace: clients(duration(), "Time sessions that are cut have to end by themselves", {
    default: "1s",
  }),
  connectTimeout: clients(duration(1), "Time one attempt to connect to an upstream has", {
    default: "3s",
  }),
  idleTimeout: clients(duration(), "End a session that is silent for this long; 0 is never", {
    default: "0s",
  }),
  relay: clients(
    choice("auto", "stream", "splice"),
    "Engine that moves the bytes: splice needs Linux, stream runs anywhere, auto takes the faster",
    { default: "auto", fixed: "the engine has the sessions" },
  ),
  acceptProxy: clients(
    choice("none", "v1", "v2", "any"),
    "Each connection begins with a PROXY protocol header, which names the client; others are closed",
    { default: "none", fixed: "it is what clients of the open port send first" },
  ),
  maxConnectionsPerClient: clients(
    count(1),
    "Connections of one client, which is an IPv4 address or a /64 of IPv6; more are closed at once; by default without limit",
  ),
  maxConnections: clients(count(1), "Clients at one time; more wait to be accepted", {
    default: "10000",
  }),
};
