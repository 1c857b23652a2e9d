import { countOrAuto, duration, fileMode, path, pattern } from "../kinds.ts";
import { rows } from "../rows.ts";

const process = rows({ group: "Process", scope: "process", mode: "both" });

/** Threads, names, folders, and the end of the process. */
export const PROCESS_OPTIONS = {
  workers: process(
    countOrAuto(1, 64),
    "Threads that move bytes, shared by all services; auto is one for each core that may be used",
    { default: "1", fixed: "the threads are made at the start, and have the sessions" },
  ),
  name: process(
    pattern("NAME", /^[A-Za-z0-9][\w.-]{0,63}$/, "up to 64 letters, digits and . _ -"),
    "Name of the service in logs and state",
    {
      scope: "service",
      own: true,
      default: { tcp: "tcp", http: "http" },
      fixed: "it says whose counters, records and state these are",
    },
  ),
  drainDelay: process(
    duration(),
    "How long it goes on serving new clients when the process is to stop, so that balancers see that /__failover/ready says 503",
    { default: "0s" },
  ),
  drainTimeout: process(
    duration(),
    "Time running sessions have when the process is to stop, or when they are drained after a move",
    {
      default: "30s",
    },
  ),
  socketMode: process(
    fileMode,
    "Permission bits of the unix sockets that are listened on, whatever the umask says",
    { default: "0666", fixed: "the socket files are made already" },
  ),
  stateDir: process(
    path,
    "Folder for what outlives the process: who served, orders, the epoch and incidents; it is made if it is missing",
    { fixed: "what must outlive the process is in the old one" },
  ),
  scriptsDir: process(
    path,
    "Folder whose check-host.sh and triggers.d are used where check-host and on-failover aren't given",
  ),
};
