/* Names of the link's messages, from the one list of them. Nothing can fail. */
#include "link/messages.h"

const char *link_message_name(unsigned type)
{
	switch (type) {
#define LINK_NAME(name, number, direction, prose)                                                                      \
	case LINK_##name:                                                                                              \
		return #name;
		LINK_MESSAGES(LINK_NAME)
#undef LINK_NAME
	default:
		return "unknown";
	}
}
