/* Every refusal the gate can give, once: an enum inside, rendered by the api that decoded the request, so that one
 * refusal looks like Lambda to Lambda and like S3 to S3. Codes: Amazon S3 API Reference "Error responses"; AWS
 * Lambda API Reference, each operation's "Errors"; IAM "Common errors". */
#pragma once

/*	name, HTTP status, S3 code, Lambda type, default message */
#define FAILS(X)                                                                                                       \
	X(NONE, 200, "", "", "")                                                                                       \
	X(ACCESS_DENIED, 403, "AccessDenied", "AccessDeniedException", "Access Denied")                                \
	X(MISSING_AUTH, 403, "AccessDenied", "MissingAuthenticationTokenException", "Missing Authentication Token")    \
	X(BAD_KEY, 403, "InvalidAccessKeyId", "UnrecognizedClientException",                                           \
	  "The AWS Access Key Id you provided does not exist in our records.")                                         \
	X(BAD_TOKEN, 400, "InvalidToken", "UnrecognizedClientException", "The security token is invalid.")             \
	X(EXPIRED_TOKEN, 400, "ExpiredToken", "ExpiredTokenException", "The provided token has expired.")              \
	X(BAD_SIGNATURE, 403, "SignatureDoesNotMatch", "InvalidSignatureException",                                    \
	  "The request signature we calculated does not match the signature you provided. Check your key and "         \
	  "signing method.")                                                                                           \
	X(BAD_AUTH_HEADER, 400, "AuthorizationHeaderMalformed", "IncompleteSignatureException",                        \
	  "The authorization header is malformed.")                                                                    \
	X(BAD_AUTH_QUERY, 400, "AuthorizationQueryParametersError", "IncompleteSignatureException",                    \
	  "The authorization query parameters are malformed.")                                                         \
	X(TIME_SKEWED, 403, "RequestTimeTooSkewed", "InvalidSignatureException",                                       \
	  "The difference between the request time and the current time is too large.")                                \
	X(REQUEST_EXPIRED, 403, "AccessDenied", "InvalidSignatureException", "Request has expired")                    \
	X(SHA256_MISMATCH, 400, "XAmzContentSHA256Mismatch", "InvalidSignatureException",                              \
	  "The provided 'x-amz-content-sha256' header does not match what was computed.")                              \
	X(BAD_DIGEST, 400, "BadDigest", "InvalidRequestContentException",                                              \
	  "The Content-MD5 or checksum value you specified did not match what we received.")                           \
	X(INVALID_DIGEST, 400, "InvalidDigest", "InvalidRequestContentException",                                      \
	  "The Content-MD5 you specified was invalid.")                                                                \
	X(INCOMPLETE_BODY, 400, "IncompleteBody", "InvalidRequestContentException",                                    \
	  "You did not provide the number of bytes specified by the Content-Length HTTP header.")                      \
	X(BAD_TRAILER, 400, "MalformedTrailerError", "InvalidRequestContentException",                                 \
	  "The request contained trailing data that was not well-formed or did not conform to our published schema.")  \
	X(INVALID_REQUEST, 400, "InvalidRequest", "InvalidParameterValueException", "Invalid Request")                 \
	X(INVALID_ARGUMENT, 400, "InvalidArgument", "InvalidParameterValueException", "Invalid Argument")              \
	X(VALIDATION, 400, "InvalidArgument", "ValidationException", "Validation error")                               \
	X(INVALID_URI, 400, "InvalidURI", "ValidationException", "Couldn't parse the specified URI.")                  \
	X(MALFORMED_XML, 400, "MalformedXML", "InvalidRequestContentException",                                        \
	  "The XML you provided was not well-formed or did not validate against our published schema")                 \
	X(MALFORMED_JSON, 400, "InvalidRequest", "InvalidRequestContentException",                                     \
	  "Could not parse request body into json.")                                                                   \
	X(SERIALIZATION, 400, "InvalidRequest", "SerializationException",                                              \
	  "A member of the request body has the wrong type.")                                                          \
	X(MALFORMED_POLICY, 400, "MalformedPolicy", "InvalidParameterValueException", "Policy is malformed.")          \
	X(TOO_LARGE, 413, "EntityTooLarge", "RequestTooLargeException",                                                \
	  "Your proposed upload exceeds the maximum allowed size")                                                     \
	X(TOO_SMALL, 400, "EntityTooSmall", "InvalidParameterValueException",                                          \
	  "Your proposed upload is smaller than the minimum allowed size")                                             \
	X(LENGTH_REQUIRED, 411, "MissingContentLength", "InvalidRequestContentException",                              \
	  "You must provide the Content-Length HTTP header.")                                                          \
	X(METADATA_TOO_LARGE, 400, "MetadataTooLarge", "InvalidParameterValueException",                               \
	  "Your metadata headers exceed the maximum allowed metadata size.")                                           \
	X(METHOD_NOT_ALLOWED, 405, "MethodNotAllowed", "MethodNotAllowedException",                                    \
	  "The specified method is not allowed against this resource.")                                                \
	X(NOT_IMPLEMENTED, 501, "NotImplemented", "NotImplementedException",                                           \
	  "This operation is not implemented by Wick.")                                                                \
	X(UNKNOWN_OPERATION, 404, "NoSuchKey", "UnknownOperationException", "There is no such operation.")             \
	X(NO_SUCH_BUCKET, 404, "NoSuchBucket", "ResourceNotFoundException", "The specified bucket does not exist")     \
	X(NO_SUCH_KEY, 404, "NoSuchKey", "ResourceNotFoundException", "The specified key does not exist.")             \
	X(NO_SUCH_UPLOAD, 404, "NoSuchUpload", "ResourceNotFoundException",                                            \
	  "The specified multipart upload does not exist. The upload ID may be invalid, or the upload may have been "  \
	  "aborted or completed.")                                                                                     \
	X(NO_SUCH_POLICY, 404, "NoSuchBucketPolicy", "ResourceNotFoundException", "The bucket policy does not exist")  \
	X(NO_SUCH_CORS, 404, "NoSuchCORSConfiguration", "ResourceNotFoundException",                                   \
	  "The CORS configuration does not exist")                                                                     \
	X(NO_SUCH_TAGS, 404, "NoSuchTagSet", "ResourceNotFoundException", "The TagSet does not exist")                 \
	X(NO_SUCH_VERSION, 404, "NoSuchVersion", "ResourceNotFoundException", "The specified version does not exist.") \
	X(NO_SUCH_LIFECYCLE, 404, "NoSuchLifecycleConfiguration", "ResourceNotFoundException",                         \
	  "The lifecycle configuration does not exist")                                                                \
	X(NO_SUCH_ENCRYPTION, 404, "ServerSideEncryptionConfigurationNotFoundError", "ResourceNotFoundException",      \
	  "The server side encryption configuration was not found")                                                    \
	X(NO_SUCH_PUBLIC_ACCESS_BLOCK, 404, "NoSuchPublicAccessBlockConfiguration", "ResourceNotFoundException",       \
	  "The public access block configuration was not found")                                                       \
	X(NO_SUCH_WEBSITE, 404, "NoSuchWebsiteConfiguration", "ResourceNotFoundException",                             \
	  "The specified bucket does not have a website configuration")                                                \
	X(NO_SUCH_REPLICATION, 404, "ReplicationConfigurationNotFoundError", "ResourceNotFoundException",              \
	  "The replication configuration was not found")                                                               \
	X(NO_SUCH_OBJECT_LOCK, 404, "ObjectLockConfigurationNotFoundError", "ResourceNotFoundException",               \
	  "Object Lock configuration does not exist for this bucket")                                                  \
	X(INVALID_LOCATION, 400, "InvalidLocationConstraint", "InvalidParameterValueException",                        \
	  "The specified location-constraint is not valid")                                                            \
	X(ILLEGAL_LOCATION, 400, "IllegalLocationConstraintException", "InvalidParameterValueException",               \
	  "The location constraint is incompatible for the region specific endpoint this request was sent to.")        \
	X(ACL_NOT_SUPPORTED, 400, "AccessControlListNotSupported", "InvalidParameterValueException",                   \
	  "The bucket does not allow ACLs")                                                                            \
	X(INVALID_STORAGE_CLASS, 400, "InvalidStorageClass", "InvalidParameterValueException",                         \
	  "The storage class you specified is not valid")                                                              \
	X(INVALID_PART_NUMBER, 416, "InvalidPartNumber", "InvalidParameterValueException",                             \
	  "The requested partnumber is not satisfiable")                                                               \
	X(CORS_FORBIDDEN, 403, "AccessForbidden", "AccessDeniedException",                                             \
	  "CORSResponse: This CORS request is not allowed. This is usually because the evalution of Origin, request "  \
	  "method / Access-Control-Request-Method or Access-Control-Request-Headers are not whitelisted by the "       \
	  "resource's CORS spec.")                                                                                     \
	X(CORS_BAD_REQUEST, 400, "BadRequest", "InvalidParameterValueException",                                       \
	  "Insufficient information. Origin request header needed.")                                                   \
	X(INVALID_PART, 400, "InvalidPart", "InvalidParameterValueException",                                          \
	  "One or more of the specified parts could not be found. The part may not have been uploaded, or the "        \
	  "specified entity tag may not match the part's entity tag.")                                                 \
	X(INVALID_PART_ORDER, 400, "InvalidPartOrder", "InvalidParameterValueException",                               \
	  "The list of parts was not in ascending order. Parts must be ordered by part number.")                       \
	X(BUCKET_EXISTS, 409, "BucketAlreadyOwnedByYou", "ResourceConflictException",                                  \
	  "Your previous request to create the named bucket succeeded and you already own it.")                        \
	X(BUCKET_NOT_EMPTY, 409, "BucketNotEmpty", "ResourceConflictException",                                        \
	  "The bucket you tried to delete is not empty")                                                               \
	X(INVALID_BUCKET_NAME, 400, "InvalidBucketName", "InvalidParameterValueException",                             \
	  "The specified bucket is not valid.")                                                                        \
	X(KEY_TOO_LONG, 400, "KeyTooLongError", "InvalidParameterValueException", "Your key is too long")              \
	X(INVALID_TAG, 400, "InvalidTag", "InvalidParameterValueException", "The tag provided was not a valid tag.")   \
	X(INVALID_RANGE, 416, "InvalidRange", "InvalidParameterValueException",                                        \
	  "The requested range is not satisfiable")                                                                    \
	X(PRECONDITION, 412, "PreconditionFailed", "PreconditionFailedException",                                      \
	  "At least one of the pre-conditions you specified did not hold")                                             \
	X(NOT_MODIFIED, 304, "NotModified", "", "Not Modified")                                                        \
	X(NOT_FOUND, 404, "NoSuchKey", "ResourceNotFoundException", "The resource you requested does not exist.")      \
	X(NO_PROVISIONED, 404, "NoSuchKey", "ProvisionedConcurrencyConfigNotFoundException",                           \
	  "No Provisioned Concurrency Config found for this function")                                                 \
	X(CONFLICT, 409, "OperationAborted", "ResourceConflictException",                                              \
	  "A conflicting operation is in progress against this resource.")                                             \
	X(POLICY_TOO_LARGE, 400, "PolicyTooLarge", "PolicyLengthExceededException", "The policy is too large.")        \
	X(CODE_TOO_LARGE, 400, "EntityTooLarge", "CodeStorageExceededException", "The code package is too large.")     \
	X(BAD_ZIP, 400, "InvalidRequest", "InvalidParameterValueException", "Could not unzip uploaded file.")          \
	X(UNSUPPORTED_MEDIA, 415, "InvalidRequest", "UnsupportedMediaTypeException", "Unsupported media type.")        \
	X(RECURSION, 400, "InvalidRequest", "RecursiveInvocationException",                                            \
	  "The function has caused itself 16 times in a row and was stopped: a recursive loop.")                       \
	X(THROTTLED, 429, "SlowDown", "TooManyRequestsException", "Rate Exceeded.")                                    \
	X(NO_NODE, 503, "ServiceUnavailable", "ServiceException", "No node can run the function now.")                 \
	X(NO_SPACE, 507, "InsufficientStorage", "ServiceException",                                                    \
	  "The disk of the server is full: nothing was stored.")                                                       \
	X(SLOW_CLIENT, 400, "RequestTimeout", "RequestTimeoutException",                                               \
	  "Your socket connection to the server was not read from or written to within the timeout period.")           \
	X(SHUTTING_DOWN, 503, "ServiceUnavailable", "ServiceException", "The server is shutting down.")                \
	X(INTERNAL, 500, "InternalError", "ServiceException", "We encountered an internal error. Please try again.")

#define FAIL_ENUM(name, status, s3, lambda, message) FAIL_##name,
enum fail { FAILS(FAIL_ENUM) FAIL_COUNT };
#undef FAIL_ENUM

struct fail_info {
	unsigned status;
	const char *s3_code, *lambda_type, *message;
};
const struct fail_info *fail_info(enum fail f);
