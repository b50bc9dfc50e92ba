"""What the tests stand on: event loops that watch themselves, a virtual clock, leak guards, a bad network, tools of the system."""
