# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# Bash completion for vmdiskctl(1): commands, options, and the names of VMs, disks and images.

# Options that say which service to ask; names are completed from the same one.
__vmdiskctl_service() {
    local i
    service=()
    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
        --user) service+=(--user) ;;
        -H | --host)
            # "--host=h" comes as three words.
            [[ ${COMP_WORDS[i + 1]} == = ]] && ((i++))
            service+=("--host=${COMP_WORDS[++i]}")
            ;;
        esac
    done
}

# __vmdiskctl_names list|images
__vmdiskctl_names() {
    local service
    __vmdiskctl_service
    # Completion must not ask for a password, nor write over the line that is being typed.
    vmdiskctl "${service[@]}" --no-ask-password --names "$1" 2>/dev/null
}

# Completes the current word from lines that may contain blanks.
__vmdiskctl_complete_lines() {
    local line word=$cur
    # What has been typed may be quoted, whole or in part.
    word=${word#[\'\"]}
    word=${word//\\/}
    COMPREPLY=()
    while IFS= read -r line; do
        [[ $line == "$word"* ]] || continue
        [[ $cur == [\'\"]* ]] || printf -v line %q "$line"
        COMPREPLY+=("$line")
    done
}

_vmdiskctl() {
    local cur prev verb='' i
    local verbs='list status commit wait pivot abort pause resume speed'
    verbs+=' boot-image images forget attach detach monitor'
    local options='--help --version --user --host= --json= --no-ask-password --quiet'

    COMPREPLY=()
    # "--json=short" comes as three words where "=" breaks words, "user@host" likewise.
    cur=${COMP_WORDS[COMP_CWORD]}
    prev=${COMP_WORDS[COMP_CWORD - 1]}
    if [[ $cur == = ]]; then
        cur=
    elif [[ $prev == = ]]; then
        prev=${COMP_WORDS[COMP_CWORD - 2]}
    fi

    case $prev in
    --json)
        mapfile -t COMPREPLY < <(compgen -W 'short pretty off' -- "$cur")
        return
        ;;
    -H | --host)
        mapfile -t COMPREPLY < <(compgen -A hostname -- "$cur")
        return
        ;;
    --on-error)
        mapfile -t COMPREPLY < <(compgen -W 'report stop enospc' -- "$cur")
        return
        ;;
    --on-deadline)
        mapfile -t COMPREPLY < <(compgen -W 'keep-waiting cancel slow-guest' -- "$cur")
        return
        ;;
    --top | --base)
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -A file -- "$cur")
        return
        ;;
    --timeout | --speed | --backing-file | --deadline | --disk) return ;;
    esac

    local -i words=0
    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
        --host | --json | --timeout | --top | --base | --on-error | --speed | --backing-file | \
            --deadline | --on-deadline | --disk)
            [[ ${COMP_WORDS[i + 1]} == = ]] && ((i++))
            ((i++))
            ;;
        -H) ((i++)) ;;
        -*) ;;
        *)
            [[ $verb ]] && words+=1
            : "${verb:=${COMP_WORDS[i]}}"
            ;;
        esac
    done

    case $verb in
    list | images) options+=' --names' ;;
    commit)
        options+=' --active --wait --pivot --keep-overlay --timeout= --top= --base= --shallow'
        options+=' --on-error= --speed= --backing-file= --relative --override --drop-bitmaps'
        options+=' --deadline= --on-deadline= --disk= --dry-run'
        ;;
    pivot | abort) options+=' --wait --timeout=' ;;
    wait) options+=' --timeout=' ;;
    esac
    if [[ $cur == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$options" -- "$cur")
        if [[ ${COMPREPLY[0]-} == *= ]]; then compopt -o nospace; fi
        return
    fi

    case $verb:$words in
    :*) mapfile -t COMPREPLY < <(compgen -W "$verbs" -- "$cur") ;;
    status:0 | images:0 | commit:0 | wait:0 | pivot:0 | abort:0)
        __vmdiskctl_complete_lines < <(
            __vmdiskctl_names list | sed 's|/[^/]*$||' | sort -u
            __vmdiskctl_names list
        )
        ;;
    forget:0) __vmdiskctl_complete_lines < <(__vmdiskctl_names images) ;;
    detach:0) __vmdiskctl_complete_lines < <(__vmdiskctl_names list | sed 's|/[^/]*$||' | sort -u) ;;
    pause:0 | resume:0 | speed:0 | boot-image:0)
        __vmdiskctl_complete_lines < <(__vmdiskctl_names list)
        ;;
    attach:1 | boot-image:1)
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -A file -- "$cur")
        ;;
    esac
}

complete -F _vmdiskctl vmdiskctl
