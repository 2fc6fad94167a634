/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Names on the wire that the client uses; interfaces/ describes them.
 */
#pragma once

#define SERVICE "org.vmdisk1"
#define PATH_ROOT "/org/vmdisk1"
#define PATH_VMS PATH_ROOT "/vm"

#define INTERFACE_MANAGER "org.vmdisk1.Manager"
#define INTERFACE_VM "org.vmdisk1.VM"
#define INTERFACE_DISK "org.vmdisk1.Disk"
#define INTERFACE_JOB "org.vmdisk1.Job"
#define INTERFACE_OBJECTS "org.freedesktop.DBus.ObjectManager"
#define INTERFACE_PROPERTIES "org.freedesktop.DBus.Properties"

#define ERROR_NO_SUCH_VM "org.vmdisk1.Error.NoSuchVM"
#define ERROR_NO_SUCH_DISK "org.vmdisk1.Error.NoSuchDisk"
#define ERROR_NO_SUCH_IMAGE "org.vmdisk1.Error.NoSuchImage"
#define ERROR_NO_JOB "org.vmdisk1.Error.NoJob"
#define ERROR_JOB_EXISTS "org.vmdisk1.Error.JobExists"
#define ERROR_NOT_READY "org.vmdisk1.Error.NotReady"
#define ERROR_IMAGE_IN_USE "org.vmdisk1.Error.ImageInUse"
#define ERROR_STALE_IMAGE "org.vmdisk1.Error.StaleImage"
#define ERROR_MONITOR_BUSY "org.vmdisk1.Error.MonitorBusy"
#define ERROR_DISCONNECTED "org.vmdisk1.Error.Disconnected"
#define ERROR_TIMED_OUT "org.vmdisk1.Error.TimedOut"
#define ERROR_INTERRUPTED "System.Error.EINTR" /* what sd-bus makes of EINTR */
