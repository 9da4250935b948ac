-- What schema version 3 adds: the devices that invocations held, in their rows and in the sums of days.

-- Models are kept once; 0 is no device.
CREATE TABLE usage_device (
	id INTEGER PRIMARY KEY,
	name TEXT NOT NULL UNIQUE
);
INSERT INTO usage_device (id, name) VALUES (0, '');

ALTER TABLE usage ADD COLUMN device_id INTEGER NOT NULL DEFAULT 0;
ALTER TABLE usage ADD COLUMN slots INTEGER NOT NULL DEFAULT 0;
ALTER TABLE usage ADD COLUMN rung TEXT NOT NULL DEFAULT '';

-- The sums again, by device too: a primary key cannot be widened in place.
ALTER TABLE usage_day RENAME TO usage_day_2;
CREATE TABLE usage_day (
	day INTEGER NOT NULL,
	function_id INTEGER NOT NULL,
	device_id INTEGER NOT NULL,
	invocations INTEGER NOT NULL,
	errors INTEGER NOT NULL,
	billed_ms INTEGER NOT NULL,
	mb_ms INTEGER NOT NULL,
	device_slice_ms INTEGER NOT NULL,
	cost_picousd INTEGER NOT NULL,
	PRIMARY KEY (day, function_id, device_id)
) WITHOUT ROWID;
INSERT INTO usage_day SELECT day, function_id, 0, invocations, errors, billed_ms, mb_ms, device_slice_ms, cost_picousd
	FROM usage_day_2;
DROP TABLE usage_day_2;
