"""What the tests stand on: loops that watch themselves, a virtual clock, leak guards, a bad network, system tools."""
