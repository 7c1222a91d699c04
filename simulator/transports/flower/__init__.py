"""A Flower app on three runtimes: calls in this process, Flower's simulation over Ray, a deployment on loopback."""

from rewindnet.simulator.transports.flower import environment

environment.quieten()
