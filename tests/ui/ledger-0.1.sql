-- The server's memory as version 0.1 wrote it: a run that is done, one that failed, one that waits.
PRAGMA user_version=2;
BEGIN TRANSACTION;
CREATE TABLE events (
  run INTEGER NOT NULL, n INTEGER NOT NULL, kind TEXT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (run, n)
) WITHOUT ROWID;
INSERT INTO "events" VALUES(1,1,'planned','{"time": 1000.0, "event": "planned", "run": "20260101-000000-a", "nodes": ["a"], "cached": []}');
INSERT INTO "events" VALUES(1,2,'started','{"time": 1000.1, "event": "started", "node": "a"}');
INSERT INTO "events" VALUES(1,3,'metric','{"time": 1000.2, "event": "metric", "node": "a", "values": {"loss": 0.5}, "turn": 0}');
INSERT INTO "events" VALUES(1,4,'shown','{"time": 1000.3, "event": "shown", "node": "a", "path": "runs/20260101-000000-a/outputs/a.png", "media": "image/png", "preview": false}');
INSERT INTO "events" VALUES(1,5,'ended','{"time": 1000.4, "event": "ended", "status": "done", "seconds": 0.4}');
INSERT INTO "events" VALUES(2,1,'failed','{"time": 1001.0, "event": "failed", "node": "a", "message": "no such file", "traceback": ""}');
CREATE TABLE runs (
  run INTEGER PRIMARY KEY AUTOINCREMENT,
  title TEXT NOT NULL, text TEXT NOT NULL, targets TEXT NOT NULL, only_targets INTEGER NOT NULL, seed INTEGER NOT NULL, fresh INTEGER NOT NULL,
  wanted TEXT NOT NULL, device TEXT NOT NULL DEFAULT '', status TEXT NOT NULL,
  created REAL NOT NULL, started REAL, ended REAL,
  folder TEXT NOT NULL DEFAULT '', error TEXT NOT NULL DEFAULT '', node TEXT NOT NULL DEFAULT '',
  problems TEXT NOT NULL DEFAULT '[]', check_numbers INTEGER NOT NULL DEFAULT 0
);
INSERT INTO "runs" VALUES(1,'A toy','{"loom": 1, "title": "A toy", "nodes": {"a": {"type": "number", "params": {"value": 7}}}}','[]',0,7,0,'','cpu','done',999.0,1000.0,1000.4,'runs/20260101-000000-a','','','[]',0);
INSERT INTO "runs" VALUES(2,'Größe','{"loom": 1, "title": "A toy", "nodes": {"a": {"type": "number", "params": {"value": 7}}}}','["a"]',1,-1,1,'cpu','','failed',1000.5,1001.0,1001.0,'','no such file','a','[{"node": "a", "port": "value", "message": "no such file", "remedy": "", "severity": "error"}]',1);
INSERT INTO "runs" VALUES(3,'Waits','{"loom": 1, "title": "A toy", "nodes": {"a": {"type": "number", "params": {"value": 7}}}}','[]',0,3,0,'','','queued',1002.0,NULL,NULL,'','','','[]',0);
CREATE INDEX runs_by_status ON runs (status);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('runs',3);
COMMIT;
