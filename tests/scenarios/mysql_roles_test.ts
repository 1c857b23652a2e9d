/** MariaDB with a replica, `failover` with `--check mysql` in front, and a trigger that promotes. */
import { Folder } from "../harness/folder.ts";
import { MariaDb, MARIADB_NEEDS } from "../harness/mariadb.ts";
import { startProxy } from "../harness/proxy.ts";
import { scenario } from "../harness/scenario.ts";

const ACCOUNT = "create user c@'127.0.0.1' identified by 'x'; " +
  "grant replication slave, slave monitor, binlog monitor on *.* to c@'127.0.0.1';";

scenario(
  "a killed primary of MariaDB: a trigger promotes its replica, and the old one is refused",
  async (relay) => {
    await using folder = await Folder.make();
    await Deno.chmod(folder.path, 0o777);
    await using primary = await MariaDb.make(folder.at("primary"));
    await using replica = await MariaDb.make(folder.at("replica"), { settings: ["read-only=1"] });
    for (const server of [primary, replica]) await server.sql(ACCOUNT);
    await replica.sql(
      `change master to master_host='127.0.0.1', master_port=${primary.port}, ` +
        "master_user='c', master_password='x'; start slave;",
    );
    const password = await folder.write("password", "x\n");
    const promote = await folder.script(
      "promote.sh",
      `[ "$1" = '${replica.name}' ] || exit 0\n` +
        `mariadb --no-defaults -S '${replica.socket}' -uroot -e ` +
        '"stop slave; reset slave all; set global read_only=0"',
    );
    await using proxy = await startProxy({
      upstreams: [replica, primary],
      flags: {
        ...relay,
        ...{ "check": "mysql", "check-user": "c", "check-password-file": password },
        "on-failover": promote,
      },
    });
    await proxy.event("promotion.finished", { move: "start", to: primary.name });
    await proxy.event("server.roleChanged", { upstream: replica.name, role: "standby" });
    await primary.kill();
    await proxy.event("promotion.finished", { move: "failover", to: replica.name });
    await proxy.event("server.roleChanged", { upstream: replica.name, role: "primary" });
    await primary.start();
    await proxy.event("upstream.barred", { upstream: primary.name, kind: "stale" });
  },
  MARIADB_NEEDS,
);
