"""What the measurements share: programs, the databases, and a folder for what they write."""

import json
import secrets

import peers
import service

# Businesses in events.sql, and of whom events are reported.
BUSINESSES = 20

# Events in the small database, and in a database that is written into.
SMALL, USED = 10_000, 100_000

# Databases with the tables of the service, and how many events are in them. `own` was made by the service alone.
TRACKED = {"track_empty": 0, "track_used": USED, "own": USED, "series": 0, "businesses": 0, "small": SMALL}

# The database that an earlier build of the service migrated.
BEFORE = "track_used_before"

# Databases with nothing but the lab's table, and how many events are in it. `lab_own` has none of the lab's indexes.
LABS = {"lab_empty": 0, "lab_used": USED, "lab_own": USED}


class Lab:
    """`programs` are those of `machine.build`."""

    def __init__(self, plan, programs, postgres, folder):
        self.plan, self.programs, self.postgres, self.folder = plan, programs, postgres, folder
        # Events per second from which facts were built, by database.
        self.rebuilt = {}

    def prepare(self):
        """Creates the databases, and sees that the peers do what the service does."""
        for database, events in LABS.items():
            self.postgres.create_database(database)
            self.postgres.run_file(database, "lab_table.sql")
            if events:
                self.postgres.run_file(database, "events.sql", events=events)
        self.postgres.run_file("lab_own", "drop_indexes.sql")
        large = {} if self.programs.before else {"large": self.plan.events}
        for database, events in {**TRACKED, **large}.items():
            self.create_tracked(database, events)
        if self.programs.before:
            self.earlier().create_tracked(BEFORE, USED)
        self.postgres.run_file("series", "series.sql")
        self.postgres.run_file("businesses", "businesses.sql")
        self.compare_health()
        self.keep_series()

    def create_tracked(self, database, events):
        """The lab's table first, unless the service is to make it, ours beside it, and events that are counted."""
        self.postgres.create_database(database)
        if database != "own":
            self.postgres.run_file(database, "lab_table.sql")
        service.migrate(self.programs.service, self.folder / "migrate", DATABASE_URL=self.postgres.url(database))
        if events:
            column = "alter table ai_metrics alter column event_id"
            self.postgres.ask(f"{column} set default gen_random_uuid()", database)
            self.postgres.run_file(database, "events.sql", events=events)
            self.postgres.ask(f"{column} drop default", database)
            self.postgres.run_file(database, "rollups.sql")
            self.build_facts(database, events)

    def build_facts(self, database, events):
        """Has the service build facts about conversations from all events, as after an upgrade. Earlier builds have none."""
        if self.postgres.ask("select to_regclass('mlops_rebuild') is not null", database).strip() != "t":
            return
        self.postgres.ask("update mlops_rebuild set below = (select max(id) + 1 from ai_metrics), of_rows = "
                          "(select count(*) from ai_metrics)", database)
        took = service.rebuild(self.programs.service, self.folder / "rebuild", DATABASE_URL=self.postgres.url(database))
        self.rebuilt[database] = events / took
        self.postgres.ask("vacuum analyze", database)

    def earlier(self):
        """The same with the earlier build as the service."""
        return Lab(self.plan, self.programs.earlier(), self.postgres, self.folder)

    def service(self, database, **settings):
        """The service on one of the databases, in a folder of its own."""
        settings = service.UNLIMITED | {"DATABASE_URL": self.postgres.url(database)} | settings
        return service.service(self.programs.service, self.folder / f"service-{secrets.token_hex(4)}", **settings)

    def embedded(self, folder, **settings):
        """The service on an SQLite file of its own, in a folder that is there or not."""
        return service.service(self.programs.service, folder, **settings)

    def bare(self):
        """The bare axum handler."""
        return peers.bare_axum(self.programs.bare_axum, self.folder / "bare")

    def fresh(self, database):
        """A copy of a database to write into, so that whoever writes begins alike, with nothing left to write out."""
        self.postgres.copy_database(database, "written")
        self.postgres.settle()
        return "written"

    def compare_health(self):
        """The bare handler must answer what the service answers, but for the time in it."""
        with self.embedded(self.folder / "health", **service.UNLIMITED) as server, self.bare() as bare:
            bodies = [json.loads(service.Client(s.port).get("/health")[1]) | {"timestamp": ""} for s in (server, bare)]
        if bodies[0] != bodies[1]:
            raise RuntimeError(f"bare_axum.rs no longer answers what GET /health does: {bodies}")

    def keep_series(self):
        """Keeps what the service shows of 10,000 series, for the peer that is to show the same."""
        with self.service("series") as server:
            (self.folder / "series.txt").write_bytes(service.Client(server.port).get("/metrics")[1])
