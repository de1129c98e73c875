"""Who takes part in a case beside nsgate: a service that sends back what it gets, and a plain probe.

    serve tcp|udp PORT [ADDRESS]
    probe icmp|tcp|udp DESTINATION [PORT] [size=BYTES]    exit status 0: answered
"""
import os
import socket
import struct
import sys

DATAGRAM = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}
IP_MTU_DISCOVER, IP_PMTUDISC_DO = 10, 2
IPV6_MTU_DISCOVER = 23


def family_of(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def serve(protocol, port, address="::"):
    listener = socket.socket(family_of(address), DATAGRAM[protocol])
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if address == "::":
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    listener.bind((address, int(port)))
    if protocol == "tcp":
        listener.listen(16)
    if os.fork():
        os._exit(0)
    for stream in (0, 1, 2):
        os.close(stream)
    while True:
        if protocol == "udp":
            data, sender = listener.recvfrom(65535)
            listener.sendto(data, sender)
            continue
        connection, _ = listener.accept()
        if os.fork() == 0:
            while data := connection.recv(65536):
                connection.sendall(data)
            os._exit(0)
        connection.close()


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


def echo(destination, size):
    six = ":" in destination
    protocol, kind, reply = (58, 128, 129) if six else (1, 8, 0)
    sock = socket.socket(family_of(destination), socket.SOCK_RAW, protocol)
    sock.settimeout(1.5)
    if size:
        level, option = (41, IPV6_MTU_DISCOVER) if six else (0, IP_MTU_DISCOVER)
        sock.setsockopt(level, option, IP_PMTUDISC_DO)
    body = os.urandom(8) + bytes(((size or 56) - 8 + 1) // 2 * 2)
    header = struct.pack("!BBHHH", kind, 0, 0, os.getpid() & 0xFFFF, 1)
    packet = struct.pack("!BBHHH", kind, 0, 0 if six else checksum(header + body), os.getpid() & 0xFFFF, 1) + body
    sock.sendto(packet, (destination, 0))
    while True:
        data, _ = sock.recvfrom(70000)
        data = data if six else data[(data[0] & 15) * 4:]
        if data[0] == reply and data[8:16] == body[:8]:
            return


def probe(protocol, destination, *rest):
    size = next((int(word[5:]) for word in rest if word.startswith("size=")), 0)
    if protocol == "icmp":
        return echo(destination, size)
    sock = socket.socket(family_of(destination), DATAGRAM[protocol])
    sock.settimeout(2)
    sock.connect((destination, int(rest[0])))
    data = bytes(size or 16)
    if protocol == "udp" or size:
        sock.sendall(data)
        got = 0
        while got < len(data):
            part = sock.recv(65536)
            if not part:
                raise OSError("closed early")
            got += len(part)


try:
    {"serve": serve, "probe": probe}[sys.argv[1]](*sys.argv[2:])
except OSError as error:
    sys.exit(f"{error}")
