-- What schema version 2 adds: records of functions, and layers.

-- By kind (enum record_kind), function and key.
CREATE TABLE record (
	kind INTEGER NOT NULL,
	function TEXT NOT NULL,
	key TEXT NOT NULL,
	revision TEXT NOT NULL,
	version TEXT NOT NULL,
	other TEXT NOT NULL,
	number INTEGER NOT NULL,
	doc TEXT NOT NULL,
	PRIMARY KEY (kind, function, key)
) WITHOUT ROWID;

-- Numbers of versions are given once, also after the last version is gone.
CREATE TABLE layer (
	name TEXT PRIMARY KEY,
	last INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE layer_version (
	name TEXT NOT NULL,
	version INTEGER NOT NULL,
	deleted INTEGER NOT NULL,
	blob TEXT NOT NULL,
	doc TEXT NOT NULL,
	PRIMARY KEY (name, version)
) WITHOUT ROWID;

-- Which function rows name which layer versions.
CREATE TABLE function_layer (
	name TEXT NOT NULL,
	version TEXT NOT NULL,
	layer TEXT NOT NULL,
	number INTEGER NOT NULL,
	PRIMARY KEY (name, version, layer, number)
) WITHOUT ROWID;
CREATE INDEX function_layer_by_layer ON function_layer (layer, number);
