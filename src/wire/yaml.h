/* YAML into JSON: settings files and SAM templates. yaml.c is the one user of libyaml. Pure.
 *
 * Scalars are typed by the core schema of YAML 1.2 (true, null, numbers; quoted ones are strings), but for whole
 * numbers with leading zeros, which stay text: they are account numbers and dates more often than numbers. Anchors
 * and aliases, duplicate keys, more than one document and nesting beyond 32 levels are errors. CloudFormation's
 * short forms become their long ones: !Ref x is {"Ref": "x"}, !GetAtt a.b is {"Fn::GetAtt": ["a", "b"]}, !Sub, !Join
 * and the others {"Fn::NAME": ...}. Unknown tags are errors. Errors begin with line and column. */
#pragma once

#include "wire/json.h"

#define YAML_MAX (1u << 20) /* bytes of a document */

json_t *yaml_parse(struct str text, struct err *err); /* NULL with err set; an empty document is null */
