"""Settings."""

NAME = "shop"
