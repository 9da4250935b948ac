/* Templates: what they become, and how each thing that is not supported is named. */
#include "cli/template.h"

#include "wire/yaml.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#define HEAD "Resources:\n"
#define FN   "  F:\n    Type: AWS::Serverless::Function\n    Properties:\n      Handler: h.f\n      Runtime: python3.11\n"

static int plan(const char *text, const struct kv *params, size_t n, struct plan *p, struct err *err)
{
	_cleanup_json_ json_t *doc = yaml_parse(str_from(text), err);
	struct template_conf conf = {
		.file = "t.yaml",
		.text = str_from(text),
		.region = STR("eu-west-1"),
		.account = STR("123456789012"),
		.stack = STR("stack"),
		.params = params,
		.n_params = n,
	};

	return doc ? template_plan(doc, &conf, p, err) : -1;
}

static void assert_text(struct str s, const char *want)
{
	_cleanup_(freep) char *have = str_dup(s);

	assert_string_equal(have, want);
}

static void whole(void **state)
{
	static const char text[] =
		"Globals:\n  Function:\n    Timeout: 9\n    Environment:\n      Variables: {A: g, B: g}\n"
		"Parameters:\n  Name: {Type: String, Default: pics}\n  Size: {Type: Number, Default: 7}\n" HEAD
		"  Pics:\n    Type: AWS::S3::Bucket\n    Properties:\n      BucketName: !Sub '${Name}-${AWS::Region}'\n"
		"  Thumb:\n    Type: AWS::Serverless::Function\n    DependsOn: Pics\n    Properties:\n"
		"      FunctionName: !Join ['-', [thumb, !Ref Name]]\n      Handler: h.f\n      Runtime: python3.11\n"
		"      CodeUri: src/\n      MemorySize: 512\n      Policies: [AmazonS3FullAccess]\n"
		"      Environment:\n        Variables:\n          A: !Ref Size\n          C: !GetAtt Pics.Arn\n"
		"          D: !Ref AWS::NoValue\n"
		"      Tags: {'wick:device': cpu}\n"
		"      Events:\n        Up:\n          Type: S3\n          Properties:\n            Bucket: !Ref Pics\n"
		"            Events: [s3:ObjectCreated:*, s3:ObjectRemoved:*]\n"
		"            Filter: {S3Key: {Rules: [{Name: prefix, Value: in/}, {Name: suffix, Value: .jpg}]}}\n"
		"Outputs:\n  Arn: {Value: !GetAtt Thumb.Arn, Description: it}\n"
		"  Text: {Value: !Sub ['${X} ${!X} ${Thumb.Arn}', {X: 1}]}\n";
	_cleanup_(plan_done) struct plan p = {0};
	struct err err = ERR_NULL;
	const struct plan_function *f;

	assert_int_equal(plan(text, NULL, 0, &p, &err), 0);
	assert_int_equal(p.n_buckets, 1);
	assert_text(p.buckets[0].name, "pics-eu-west-1");
	assert_int_equal(p.n_functions, 1);
	f = &p.functions[0];
	assert_text(f->name, "thumb-pics");
	assert_int_equal(f->timeout_s, 9);
	assert_int_equal(f->memory_mb, 512);
	assert_int_equal(f->code_kind, PLAN_CODE_PATH);
	assert_text(f->code, "src/");
	assert_int_equal(f->n_env, 3);
	assert_text(f->env[0].v, "7");
	assert_text(f->env[1].v, "g");
	assert_text(f->env[2].v, "arn:aws:s3:::pics-eu-west-1");
	assert_text(f->tags[0].k, "wick:device");
	assert_int_equal(p.n_triggers, 1);
	assert_int_equal(p.triggers[0].n_events, 2);
	assert_text(p.triggers[0].prefix, "in/");
	assert_text(p.triggers[0].suffix, ".jpg");
	assert_int_equal(p.n_permissions, 1);
	assert_text(p.permissions[0].source_arn, "arn:aws:s3:::pics-eu-west-1");
	assert_int_equal(p.n_notes, 1);
	assert_text(p.outputs[0].value, "arn:aws:lambda:eu-west-1:123456789012:function:thumb-pics");
	assert_text(p.outputs[1].value, "1 ${X} arn:aws:lambda:eu-west-1:123456789012:function:thumb-pics");
}

static void cloudformation(void **state)
{
	static const char text[] = HEAD
		"  R: {Type: AWS::IAM::Role, Properties: {AssumeRolePolicyDocument: {}}}\n"
		"  F:\n    Type: AWS::Lambda::Function\n    Properties:\n      Handler: index.h\n"
		"      Runtime: python3.12\n      Role: !GetAtt R.Arn\n      Code: {ZipFile: 'def h(e, c): pass'}\n"
		"      Tags: [{Key: a, Value: b}]\n"
		"  B:\n    Type: AWS::S3::Bucket\n    Properties:\n      NotificationConfiguration:\n"
		"        LambdaConfigurations: [{Event: s3:ObjectCreated:Put, Function: !GetAtt F.Arn}]\n"
		"  P:\n    Type: AWS::Lambda::Permission\n    Properties:\n      FunctionName: !Ref F\n"
		"      Action: lambda:InvokeFunction\n      Principal: s3.amazonaws.com\n      SourceArn: !GetAtt "
		"B.Arn\n";
	_cleanup_(plan_done) struct plan p = {0};
	struct err err = ERR_NULL;

	assert_int_equal(plan(text, NULL, 0, &p, &err), 0);
	assert_text(p.functions[0].name, "stack-F");
	assert_text(p.functions[0].role, "arn:aws:iam::123456789012:role/stack-R");
	assert_int_equal(p.functions[0].code_kind, PLAN_CODE_INLINE);
	assert_text(p.functions[0].tags[0].v, "b");
	assert_text(p.buckets[0].name, "stack-b");
	assert_text(p.triggers[0].function, "stack-F");
	assert_text(p.permissions[0].statement_id, "P");
}

static void versions(void **state)
{
	static const char text[] =
		"Globals: {Function: {Layers: ['arn:aws:lambda:eu-west-1:123456789012:layer:g:1']}}\n" HEAD
		"  L:\n    Type: AWS::Serverless::LayerVersion\n    Properties:\n      LayerName: tools\n"
		"      ContentUri: layer/\n      CompatibleRuntimes: [python3.11]\n      LicenseInfo: MIT\n"
		"  F:\n    Type: AWS::Serverless::Function\n    Properties:\n      Runtime: provided.al2023\n"
		"      Layers: [!Ref L]\n      AutoPublishAlias: live\n      ReservedConcurrentExecutions: 0\n"
		"      ProvisionedConcurrencyConfig: {ProvisionedConcurrentExecutions: 2}\n"
		"      SnapStart: {ApplyOn: PublishedVersions}\n      EphemeralStorage: {Size: 1024}\n"
		"      FunctionUrlConfig: {AuthType: NONE, InvokeMode: RESPONSE_STREAM, Cors: {AllowOrigins: ['*']}}\n"
		"  W:\n    Type: AWS::Serverless::Function\n    Properties:\n      Runtime: web\n"
		"      Tags: {'wick:command': node server.js}\n"
		"Outputs:\n  U: {Value: !Sub '${FUrl.FunctionUrl}x'}\n  L: {Value: !Ref L}\n";
	_cleanup_(plan_done) struct plan p = {0};
	_cleanup_(err_done) struct err err = ERR_NULL;
	const struct plan_function *f;

	assert_int_equal(plan(text, NULL, 0, &p, &err), 0);
	assert_int_equal(p.n_layers, 1);
	assert_text(p.layers[0].name, "tools");
	assert_text(p.layers[0].code, "layer/");
	assert_text(p.layers[0].runtimes[0], "python3.11");
	f = &p.functions[0];
	assert_text(f->handler, "bootstrap");
	assert_int_equal(f->n_layers, 2);
	assert_text(f->layers[1], PLAN_LAYER "L" PLAN_END);
	assert_text(f->alias, "live");
	assert_true(f->reserved_said && f->reserved == 0);
	assert_int_equal(f->provisioned, 2);
	assert_text(f->snap_start, "PublishedVersions");
	assert_int_equal(f->ephemeral_mb, 1024);
	assert_true(f->url);
	assert_text(f->url_mode, "RESPONSE_STREAM");
	assert_text(f->url_cors, "{\"AllowOrigins\":[\"*\"]}");
	assert_text(p.permissions[0].url_auth, "NONE");
	assert_text(p.permissions[0].qualifier, "live");
	assert_text(p.functions[1].handler, "web");
	assert_text(p.outputs[0].value, PLAN_URL "stack-F" PLAN_END "x");
	assert_text(p.outputs[1].value, PLAN_LAYER "L" PLAN_END);
}

static void parameters(void **state)
{
	static const char text[] = "Parameters:\n  N: {Type: String}\n" HEAD FN "      FunctionName: !Ref N\n";
	_cleanup_(plan_done) struct plan p = {0};
	const struct kv given = {STR("N"), STR("mine")}, wrong = {STR("M"), STR("x")};
	struct err err = ERR_NULL;

	assert_int_equal(plan(text, &given, 1, &p, &err), 0);
	assert_text(p.functions[0].name, "mine");
	plan_done(&p);
	assert_int_equal(plan(text, NULL, 0, &p, &err), -1);
	assert_non_null(strstr(err.msg, "--parameter N=VALUE"));
	err_done(&err);
	plan_done(&p);
	assert_int_equal(plan(text, &wrong, 1, &p, &err), -1);
	assert_non_null(strstr(err.msg, "no such parameter"));
	err_done(&err);
}

static void refused(void **state)
{
	static const struct {
		const char *text, *message;
	} cases[] = {
		{"a: 1\n", "no mapping named Resources"},
		{"[]\n", "no mapping named Resources"},
		{HEAD "  Q:\n    Type: AWS::SQS::Queue\n",
		 "t.yaml:2: Resources.Q: a resource of type AWS::SQS::Queue is not supported"},
		{HEAD "  Q: 5\n", "a resource of type (none)"},
		{HEAD FN "      VpcConfig: {}\n", "t.yaml:7: Resources.F.Properties.VpcConfig: this property of "
						  "AWS::Serverless::Function is not supported"},
		{HEAD FN "      Layers: [x]\n", "t.yaml:7: Resources.F.Properties.Layers: x is no layer"},
		{HEAD FN "      Layers: x\n", "must be a list of layers"},
		{HEAD FN "      SnapStart: {ApplyOn: Always}\n", "needs ApplyOn: PublishedVersions, or None"},
		{HEAD FN "      ReservedConcurrentExecutions: -1\n", "must be a whole number"},
		{HEAD FN "      ProvisionedConcurrencyConfig: {ProvisionedConcurrentExecutions: 2}\n",
		 "needs AutoPublishAlias"},
		{HEAD FN "      ProvisionedConcurrencyConfig: {}\n", "needs ProvisionedConcurrentExecutions"},
		{HEAD FN "      FunctionUrlConfig: {}\n", "needs AuthType"},
		{HEAD FN "      FunctionUrlConfig: {AuthType: OPEN}\n", "AuthType must be NONE or AWS_IAM"},
		{HEAD FN "      FunctionUrlConfig: {AuthType: NONE, InvokeMode: X}\n", "InvokeMode must be"},
		{HEAD FN "      FunctionUrlConfig: {AuthType: NONE, Cors: {Origins: ['*']}}\n", "Cors: Origins"},
		{HEAD FN "      FunctionUrlConfig: {AuthType: NONE, Zone: x}\n", "Zone is not supported here"},
		{HEAD "  L: {Type: AWS::Serverless::LayerVersion}\n", "needs ContentUri"},
		{HEAD "  L: {Type: AWS::Lambda::LayerVersion, Properties: {ContentUri: x/}}\n",
		 "this property of AWS::Lambda::LayerVersion is not supported"},
		{HEAD FN "      Timeout: soon\n", "whole number above 0"},
		{HEAD FN "      Handler2: !Ref F\n", "not supported"},
		{HEAD FN "      Description: !Ref Nobody\n", "!Ref Nobody: the template has no parameter or resource"},
		{HEAD FN "      Description: !GetAtt Nobody.Arn\n", "has no resource Nobody"},
		{HEAD FN "      Description: !GetAtt F.Zone\n", "this attribute of AWS::Serverless::Function"},
		{HEAD FN "      Description: !Sub '${F'\n", "${ is not closed"},
		{HEAD FN "      Description: !FindInMap [a, b, c]\n", "Fn::FindInMap is not supported"},
		{HEAD FN "      FunctionName: !Ref F\n", "needs its"},
		{HEAD FN "      Architectures: [arm64]\n", "only [x86_64]"},
		{HEAD FN "      Environment: {Variables: {A: [1]}}\n", "A must be a string"},
		{HEAD FN "      Events: {E: {Type: Schedule}}\n", "an event of type Schedule is not supported (S3 is)"},
		{HEAD FN "      Events: {E: {Type: S3, Properties: {Events: x}}}\n", "needs Bucket and Events"},
		{HEAD FN "    Condition: C\n", "the attribute Condition is not supported"},
		{"Conditions: {}\n" HEAD FN, "Conditions: this section is not supported"},
		{"Globals: {Api: {}}\n" HEAD FN, "only Function is supported in Globals"},
		{HEAD "  F: {Type: AWS::Serverless::Function}\n", "needs a Runtime"},
		{HEAD "  F: {Type: AWS::Serverless::Function, Properties: {Runtime: python3.11}}\n", "needs a Handler"},
		{HEAD "  B: {Type: AWS::S3::Bucket, Properties: {VersioningConfiguration: {}}}\n",
		 "this property of AWS::S3::Bucket"},
		{HEAD "  P: {Type: AWS::Lambda::Permission}\n", "needs FunctionName, Action and Principal"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(plan_done) struct plan p = {0};
		_cleanup_(err_done) struct err err = ERR_NULL;

		assert_int_equal(plan(cases[i].text, NULL, 0, &p, &err), -1);
		if (!strstr(err.msg, cases[i].message))
			fail_msg("case %zu: \"%s\" lacks \"%s\"", i, err.msg, cases[i].message);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole),      cmocka_unit_test(cloudformation), cmocka_unit_test(versions),
		cmocka_unit_test(parameters), cmocka_unit_test(refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
