import { coordinatorPlace } from "../coordinator_kind.ts";
import { choice, duration, path, pattern } from "../kinds.ts";
import { rows } from "../rows.ts";

const cluster = rows({ group: "Several proxies", scope: "process", mode: "both" });

const fixed = "the process has joined its cluster with it";

/** How several proxies share one decision. */
export const CLUSTER_OPTIONS = {
  coordinator: cluster(
    coordinatorPlace,
    "Share one decision with the other proxies of CLUSTER through etcd (3.4 or newer)",
    { fixed },
  ),
  coordinatorUser: cluster(
    pattern("NAME", /^[\x21-\x7e]{1,128}$/, "up to 128 characters without spaces"),
    "User of etcd",
    { fixed },
  ),
  coordinatorPasswordFile: cluster(path, "File with the password of that user", { fixed }),
  coordinatorCa: cluster(
    path,
    "Connect to etcd by TLS, and trust the certificate authorities of this file (PEM)",
    { fixed },
  ),
  coordinatorCert: cluster(path, "Certificate chain to show to etcd (PEM)", { fixed }),
  coordinatorKey: cluster(path, "Private key of that certificate (PEM)", { fixed }),
  coordinatorLease: cluster(
    duration(5_000),
    "How long a proxy that was lost keeps the lead: no other one decides for so long",
    { default: "10s", fixed },
  ),
  withoutCoordinator: cluster(
    choice("serve-last", "decide-alone"),
    "While etcd cannot be reached: serve what was decided last and promote nothing, or decide as if alone, which can split a database in two",
    { default: "serve-last", fixed },
  ),
};
