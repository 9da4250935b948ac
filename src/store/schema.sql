-- The store's tables: schema version 1 (PRAGMA user_version), to which schema_2.sql and schema_3.sql add. Times are Unix milliseconds.
-- Rows that are listed put their wide columns last, so that a page of a listing never reads them.

CREATE TABLE bucket (
	id INTEGER PRIMARY KEY,
	name TEXT NOT NULL UNIQUE,
	created_ms INTEGER NOT NULL,
	notification TEXT NOT NULL,
	policy TEXT NOT NULL,
	cors TEXT NOT NULL,
	tagging TEXT NOT NULL
);

-- Keys are blobs: S3 orders them by bytes.
CREATE TABLE object (
	bucket_id INTEGER NOT NULL,
	key BLOB NOT NULL,
	size INTEGER NOT NULL,
	modified_ms INTEGER NOT NULL,
	etag TEXT NOT NULL,
	storage_class TEXT NOT NULL,
	parts INTEGER NOT NULL,
	content_type TEXT NOT NULL,
	extents BLOB NOT NULL,
	headers BLOB NOT NULL,
	tags BLOB NOT NULL,
	PRIMARY KEY (bucket_id, key)
) WITHOUT ROWID;

CREATE TABLE upload (
	id TEXT PRIMARY KEY,
	bucket_id INTEGER NOT NULL,
	key BLOB NOT NULL,
	created_ms INTEGER NOT NULL,
	storage_class TEXT NOT NULL,
	content_type TEXT NOT NULL,
	headers BLOB NOT NULL,
	tags BLOB NOT NULL
) WITHOUT ROWID;
CREATE UNIQUE INDEX upload_by_key ON upload (bucket_id, key, id);

CREATE TABLE part (
	upload_id TEXT NOT NULL,
	number INTEGER NOT NULL,
	etag TEXT NOT NULL,
	checksum TEXT NOT NULL,
	size INTEGER NOT NULL,
	modified_ms INTEGER NOT NULL,
	blob TEXT NOT NULL,
	PRIMARY KEY (upload_id, number)
) WITHOUT ROWID;

CREATE TABLE function (
	name TEXT NOT NULL,
	version TEXT NOT NULL,
	revision TEXT NOT NULL,
	blob TEXT NOT NULL,
	doc TEXT NOT NULL,
	PRIMARY KEY (name, version)
) WITHOUT ROWID;
CREATE INDEX function_by_blob ON function (blob);

CREATE TABLE event (
	id TEXT NOT NULL UNIQUE,
	function TEXT NOT NULL,
	state INTEGER NOT NULL,
	attempts INTEGER NOT NULL,
	created_ms INTEGER NOT NULL,
	due_ms INTEGER NOT NULL,
	trace TEXT NOT NULL,
	source TEXT NOT NULL,
	reason TEXT NOT NULL,
	payload BLOB NOT NULL
);
CREATE INDEX event_due ON event (state, due_ms);

-- Names are kept once; a function that was deleted keeps its bill.
CREATE TABLE usage_function (
	id INTEGER PRIMARY KEY,
	name TEXT NOT NULL UNIQUE
);

CREATE TABLE usage (
	at_ms INTEGER NOT NULL,
	request_id TEXT NOT NULL,
	function_id INTEGER NOT NULL,
	version TEXT NOT NULL,
	queue_us INTEGER NOT NULL,
	start_us INTEGER NOT NULL,
	init_us INTEGER NOT NULL,
	run_us INTEGER NOT NULL,
	billed_ms INTEGER NOT NULL,
	memory_mb INTEGER NOT NULL,
	max_memory_mb INTEGER NOT NULL,
	status INTEGER NOT NULL,
	device_slice_ms INTEGER NOT NULL,
	cost_picousd INTEGER NOT NULL,
	PRIMARY KEY (at_ms, request_id)
) WITHOUT ROWID;
CREATE INDEX usage_by_function ON usage (function_id, at_ms);

CREATE TABLE usage_day (
	day INTEGER NOT NULL,
	function_id INTEGER NOT NULL,
	invocations INTEGER NOT NULL,
	errors INTEGER NOT NULL,
	billed_ms INTEGER NOT NULL,
	mb_ms INTEGER NOT NULL,
	device_slice_ms INTEGER NOT NULL,
	cost_picousd INTEGER NOT NULL,
	PRIMARY KEY (day, function_id)
) WITHOUT ROWID;

-- Blobs that nothing holds any more, until they are gone from disk.
CREATE TABLE dead_blob (
	blob TEXT PRIMARY KEY
) WITHOUT ROWID;
