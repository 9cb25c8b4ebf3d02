/*
 * hello-server CONFIG: a small HTTP/1.1 server for one page.
 *
 * CONFIG has lines `port = NUMBER` and `page = FILE`; `#` begins a comment. The page is served at /, and /health says
 * whether it can be read. SIGHUP reads CONFIG again (and keeps the old one where the new one is wrong; the port cannot
 * change); SIGTERM and SIGINT finish the answers under way and end. One thread, one poll loop, every connection bounded
 * in time and size.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAX_CLIENTS = 256, MAX_REQUEST = 8192, MAX_PAGE = 1 << 20, MAX_HEAD = 256, TIMEOUT_SECONDS = 10 };

struct config { long port; char page[1024]; };

struct client {
	int socket;
	time_t deadline;
	size_t received, sent, size;
	char request[MAX_REQUEST + 1];
	char *answer; /* NULL while the request is still arriving */
};

static volatile sig_atomic_t must_end, must_reload;
static struct client clients[MAX_CLIENTS];
static int client_count;

static void on_signal(int number)
{
	if (number == SIGHUP)
		must_reload = 1;
	else
		must_end = 1;
}

static int complain(const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	fputs("hello-server: ", stderr);
	vfprintf(stderr, format, arguments);
	fputc('\n', stderr);
	va_end(arguments);
	return -1;
}

static time_t now(void)
{
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec;
}

static int read_config(const char *path, struct config *config)
{
	struct config found = { 0, "" };
	char line[1200];
	int number = 0;
	FILE *file = fopen(path, "re");
	if (!file)
		return complain("%s: %s", path, strerror(errno));
	while (fgets(line, sizeof line, file)) {
		char value[1024] = "", rest[2] = "", key[16] = "";
		number++;
		line[strcspn(line, "#\n")] = '\0';
		int words = sscanf(line, " %15[a-z] = %1023s %1s", key, value, rest);
		if (words <= 0 && !line[strspn(line, " \t")])
			continue;
		char *end = NULL;
		if (words == 2 && !strcmp(key, "port")) {
			found.port = strtol(value, &end, 10);
			if (!*end && found.port >= 1 && found.port <= 65535)
				continue;
		} else if (words == 2 && !strcmp(key, "page") && value[0] == '/') {
			strcpy(found.page, value);
			continue;
		}
		fclose(file);
		return complain("%s:%d: expected 'port = NUMBER' or 'page = /FILE', found '%s'", path, number, line);
	}
	fclose(file);
	if (!found.port || !found.page[0])
		return complain("%s: it must give both 'port' and 'page'", path);
	*config = found;
	return 0;
}

/* Returns the number of bytes read, or -1. */
static long read_page(const struct config *config, char *page)
{
	int file = open(config->page, O_RDONLY | O_CLOEXEC);
	long size = 0, count = -1;
	if (file < 0)
		return -1;
	while (size < MAX_PAGE && (count = read(file, page + size, MAX_PAGE - size)) > 0)
		size += count;
	close(file);
	return count < 0 ? -1 : size;
}

static void answer(struct client *client, const char *status, const char *type, const char *body, size_t size, int head_only)
{
	client->answer = malloc(MAX_HEAD + size);
	if (!client->answer)
		return;
	int head = snprintf(client->answer, MAX_HEAD,
		"HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\nConnection: close\r\n%s\r\n",
		status, type, size, strncmp(status, "405", 3) ? "" : "Allow: GET, HEAD\r\n");
	memcpy(client->answer + head, body, head_only ? 0 : size);
	client->size = head + (head_only ? 0 : size);
}

static void answer_text(struct client *client, const char *status, const char *text, int head_only)
{
	answer(client, status, "text/plain", text, strlen(text), head_only);
}

static void serve(struct client *client, const struct config *config)
{
	static char page[MAX_PAGE];
	char method[8], target[1024], version[12];
	if (sscanf(client->request, "%7s %1023s %11s", method, target, version) != 3 || strncmp(version, "HTTP/1.", 7)) {
		answer_text(client, "400 Bad Request", "this is not HTTP/1.1\n", 0);
		return;
	}
	int head_only = !strcmp(method, "HEAD");
	target[strcspn(target, "?")] = '\0';
	if (!head_only && strcmp(method, "GET")) {
		answer_text(client, "405 Method Not Allowed", "only GET and HEAD\n", 0);
	} else if (strcmp(target, "/") && strcmp(target, "/health")) {
		answer_text(client, "404 Not Found", "not found\n", head_only);
	} else {
		long size = read_page(config, page);
		if (size < 0)
			answer_text(client, "503 Service Unavailable", "the page cannot be read\n", head_only);
		else if (!strcmp(target, "/health"))
			answer_text(client, "200 OK", "ok\n", head_only);
		else
			answer(client, "200 OK", "text/html; charset=utf-8", page, size, head_only);
	}
}

/* Move a client on by what its socket is ready for. Returns 0 when the connection is over. */
static int advance(struct client *client, const struct config *config)
{
	if (!client->answer) {
		ssize_t count = recv(client->socket, client->request + client->received, MAX_REQUEST - client->received, 0);
		if (count <= 0)
			return count < 0 && (errno == EAGAIN || errno == EINTR);
		client->received += count;
		client->request[client->received] = '\0';
		if (strstr(client->request, "\r\n\r\n"))
			serve(client, config);
		else if (client->received == MAX_REQUEST)
			answer_text(client, "431 Request Header Fields Too Large", "the request is too long\n", 0);
		else
			return 1;
		if (!client->answer)
			return 0;
	}
	ssize_t count = send(client->socket, client->answer + client->sent, client->size - client->sent, MSG_NOSIGNAL);
	if (count < 0)
		return errno == EAGAIN || errno == EINTR;
	client->sent += count;
	return client->sent < client->size;
}

static void hang_up(int index)
{
	shutdown(clients[index].socket, SHUT_RDWR);
	close(clients[index].socket);
	free(clients[index].answer);
	clients[index] = clients[--client_count];
}

static void welcome(int listener)
{
	int socket = accept(listener, NULL, NULL);
	if (socket < 0)
		return;
	fcntl(socket, F_SETFD, FD_CLOEXEC);
	fcntl(socket, F_SETFL, O_NONBLOCK);
	struct client *client = &clients[client_count++];
	client->socket = socket;
	client->deadline = now() + TIMEOUT_SECONDS;
	client->received = client->sent = client->size = 0;
	client->answer = NULL;
}

static int listen_on(long port)
{
	int yes = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_ANY) };
	if (listener < 0)
		return complain("socket: %s", strerror(errno));
	fcntl(listener, F_SETFD, FD_CLOEXEC);
	fcntl(listener, F_SETFL, O_NONBLOCK);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
	if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 128)) {
		close(listener);
		return complain("port %ld: %s", port, strerror(errno));
	}
	return listener;
}

static void reload(const char *path, struct config *config)
{
	struct config found;
	if (read_config(path, &found))
		return;
	if (found.port != config->port)
		complain("%s: the port changes only at a restart; staying on %ld", path, config->port);
	found.port = config->port;
	*config = found;
}

static void loop(const char *path, struct config *config, int listener)
{
	struct pollfd watched[MAX_CLIENTS + 1];
	while (!must_end || client_count) {
		if (must_reload) {
			must_reload = 0;
			reload(path, config);
		}
		for (int i = 0; i < client_count; i++)
			watched[i] = (struct pollfd){ clients[i].socket, clients[i].answer ? POLLOUT : POLLIN, 0 };
		int open = !must_end && client_count < MAX_CLIENTS, count = client_count;
		watched[count] = (struct pollfd){ open ? listener : -1, POLLIN, 0 };
		if (poll(watched, count + 1, 1000) < 0)
			continue;
		/* From the end, because hanging up moves the last client into the gap. */
		for (int i = count - 1; i >= 0; i--)
			if ((watched[i].revents && !advance(&clients[i], config)) || now() >= clients[i].deadline
			    || (must_end && !clients[i].answer))
				hang_up(i);
		if (watched[count].revents & POLLIN)
			welcome(listener);
	}
}

int main(int count, char **arguments)
{
	struct config config;
	struct sigaction action = { .sa_handler = on_signal };
	if (count != 2) {
		fputs("usage: hello-server CONFIG\n", stderr);
		return 2;
	}
	if (read_config(arguments[1], &config))
		return 1;
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
	int listener = listen_on(config.port);
	if (listener < 0)
		return 1;
	loop(arguments[1], &config, listener);
	close(listener);
	return 0;
}
