-- A database of schema 1, as `sqlite3 voxtrad.db .dump` writes it: one call that ended, one that was running.
BEGIN TRANSACTION;
CREATE TABLE calls (
        id TEXT PRIMARY KEY,
        instance TEXT NOT NULL,             -- the run of the server that took the call
        agent TEXT NOT NULL,
        direction TEXT NOT NULL,
        caller TEXT NOT NULL,
        dialled TEXT NOT NULL,
        channel TEXT NOT NULL,
        linkedid TEXT NOT NULL,
        privacy TEXT NOT NULL,
        started REAL NOT NULL,              -- times are seconds since 1970
        answered REAL,
        ended REAL,
        outcome TEXT,
        reason TEXT,
        duration REAL,
        talk_time REAL
    ) STRICT;
INSERT INTO "calls" VALUES('c_done','0123','support','inbound','+442071234567','1000','PJSIP/100-0000001f','1.1','full',1800000000.0,NULL,1800000002.0,'completed','',2.0,1.0);
INSERT INTO "calls" VALUES('c_open','0123','support','inbound','+442071234567','1000','PJSIP/100-0000001f','1.1','full',1800000000.0,NULL,NULL,NULL,NULL,NULL,NULL);
CREATE TABLE endpoints (
        name TEXT PRIMARY KEY,
        url TEXT NOT NULL,
        disabled REAL,                      -- since when, after a 410
        answer TEXT NOT NULL DEFAULT ''
    ) STRICT;
INSERT INTO "endpoints" VALUES('crm','http://127.0.0.1:9/hook',NULL,'');
CREATE TABLE entries (                  -- what happened on a call, in order
        id INTEGER PRIMARY KEY,
        call_id TEXT NOT NULL,
        at REAL NOT NULL,
        type TEXT NOT NULL,
        data TEXT NOT NULL
    ) STRICT;
INSERT INTO "entries" VALUES(1,'c_done',1800000000.0,'call.started','{"direction":"inbound","from":"+442071234567","to":"1000","channel":"PJSIP/100-0000001f","linkedid":"1.1"}');
INSERT INTO "entries" VALUES(2,'c_done',1800000001.0,'user.transcript','{"text":"hello","confidence":null,"turn":0}');
INSERT INTO "entries" VALUES(3,'c_done',1800000002.0,'call.ended','{"outcome":"completed","reason":"","duration":2.0,"talk_time":1.0,"transcript":[],"latency":{}}');
CREATE TABLE outbox (                   -- one event for one endpoint
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        message_id TEXT NOT NULL UNIQUE,
        endpoint TEXT NOT NULL,
        call_id TEXT NOT NULL,
        sequence INTEGER,
        type TEXT NOT NULL,
        speech INTEGER NOT NULL,            -- may be dropped first
        body BLOB NOT NULL,                 -- emptied on delivery
        state TEXT NOT NULL,                -- waiting, held (behind an earlier one of its call), delivered, dead
        attempts INTEGER NOT NULL DEFAULT 0,
        step INTEGER NOT NULL DEFAULT 0,
        queued REAL NOT NULL,
        due REAL NOT NULL,
        planned REAL NOT NULL,
        not_before REAL NOT NULL DEFAULT 0,
        expires REAL NOT NULL,
        settled REAL,
        answer TEXT NOT NULL DEFAULT ''     -- to the last attempt
    ) STRICT;
INSERT INTO "outbox" VALUES(1,'msg_664e70c3085646ef84e640f9a4ad7e3b','crm','c_done',1,'call.ended',0,X'7B2274797065223A2263616C6C2E656E646564222C2274696D657374616D70223A22323032372D30312D31355430383A30303A30322E3030305A222C2264617461223A7B2263616C6C5F6964223A22635F646F6E65222C2273657175656E6365223A312C226167656E74223A22737570706F7274222C226F7574636F6D65223A22636F6D706C65746564222C22726561736F6E223A22222C226475726174696F6E223A322E302C2274616C6B5F74696D65223A312E302C227472616E736372697074223A5B5D2C226C6174656E6379223A7B7D7D7D','waiting',0,0,1.79537990210358047488e+09,1.79537990210358047488e+09,1.79537990210358047488e+09,0.0,1.17953799021035804744e+10,NULL,'');
CREATE TABLE sequences (
        endpoint TEXT NOT NULL,
        call_id TEXT NOT NULL,
        last INTEGER NOT NULL,
        PRIMARY KEY (endpoint, call_id)
    ) STRICT, WITHOUT ROWID;
INSERT INTO "sequences" VALUES('crm','c_done',1);
INSERT INTO "sequences" VALUES('crm','c_open',1);
CREATE INDEX calls_by_start ON calls (started, id);
CREATE INDEX calls_by_end ON calls (ended);
CREATE INDEX entries_by_call ON entries (call_id, id);
CREATE INDEX outbox_due ON outbox (endpoint, due, id) WHERE state = 'waiting';
CREATE INDEX outbox_undelivered ON outbox (endpoint, call_id, id) WHERE state IN ('waiting', 'held');
CREATE INDEX outbox_expires ON outbox (expires) WHERE state IN ('waiting', 'held');
CREATE INDEX outbox_by_state ON outbox (state, id);
CREATE INDEX outbox_by_call ON outbox (call_id);
CREATE INDEX sequences_by_call ON sequences (call_id);
CREATE TABLE instances (                -- runs of the server that have calls
        id TEXT PRIMARY KEY,
        seen REAL NOT NULL                  -- when this one was alive for sure
    ) STRICT, WITHOUT ROWID;
CREATE TABLE made (                     -- calls that voxtrad was asked to make, for a day
        call_id TEXT PRIMARY KEY,
        at REAL NOT NULL,
        key TEXT UNIQUE,                    -- who asks twice with one key makes one call
        asked TEXT NOT NULL                 -- a digest of what was asked for
    ) STRICT;
INSERT INTO "made" VALUES('c_made',1.79537990210358047488e+09,'a key','a digest');
CREATE INDEX made_by_time ON made (at);
COMMIT;
PRAGMA user_version = 3;
